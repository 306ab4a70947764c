"""The outside world: object store, tracking, registry, models and files. Each module is the only user of its library."""
