"""Bringing the version that the pointer names into service, step by step, and back when it does not work."""
