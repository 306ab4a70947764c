"""Errors that a person reads, each with the exit code of the command that ends with it."""

from __future__ import annotations


class ReadableError(Exception):
    """An error whose message says what is wrong, where, and what to do; shown without a traceback."""

    exit_code = 1


class StageError(ReadableError):
    """A stage ran and failed (exit code 1)."""


class InputError(ReadableError):
    """Bad input or configuration (exit code 2): nothing was started and nothing was written."""

    exit_code = 2


class GateRefusedError(ReadableError):
    """The gate refused and the caller asked for that to be a failure (exit code 3)."""

    exit_code = 3
