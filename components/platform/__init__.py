"""The outside world: object store, tracking, registry, models, files. Each library has one module that uses it."""
