"""The installed command `biomed-r1`: `pipelines.cli`, also where PYTHONPATH has another package `pipelines`."""

from __future__ import annotations

import importlib

from biomed_r1 import _own_packages


def main() -> None:
    """`biomed-r1`; exits as `pipelines.cli.main` does."""
    _own_packages.load("pipelines")
    importlib.import_module("pipelines.cli.main").main()
