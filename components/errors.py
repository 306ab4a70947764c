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


class DamagedError(InputError):
    """Something stored is there but is not what was written: no manifest, another hash, not JSON."""


class NewerSchemaError(InputError):
    """Something stored was written by a newer version of this program: it is whole, and not ours to read or replace."""


class UnavailableError(StageError):
    """A server did not answer, or not now (exit code 1): nothing is known about what it holds."""


class GateRefusedError(ReadableError):
    """The gate refused and the caller asked for that to be a failure (exit code 3)."""

    exit_code = 3


class RefusedError(ReadableError):
    """What was asked for may not be done as things stand (exit code 3): nothing was changed."""

    exit_code = 3


class ConflictError(ReadableError):
    """Somebody else changed the same thing first (exit code 4): nothing of this change was made."""

    exit_code = 4


class StoppedError(ReadableError):
    """The work was told to stop and did, in a state from which it goes on (exit code 75, EX_TEMPFAIL)."""

    exit_code = 75
