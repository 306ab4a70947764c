"""A disk that fills up is the user's to mend: one readable message, whatever library ran into it."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.errors import InputError, ReadableError

NEARLY_NOTHING = 32 << 20  # bytes; torch's own error does not say why a write failed


@contextmanager
def needs_space(folder: Path) -> Iterator[None]:
    """Turn what OSError, safetensors and torch raise when the disk of `folder` is full into an InputError."""
    try:
        yield
    except ReadableError:
        raise
    except Exception as error:
        told = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
        free = shutil.disk_usage(_existing(folder)).free
        if told or (isinstance(error, OSError | RuntimeError) and free < NEARLY_NOTHING):
            raise InputError(
                f"{folder}: no space left on this disk ({free / 1e6:.0f} MB free); free some, or point BIOMED_R1_HOME "
                "at a larger one"
            ) from error
        raise


def _existing(folder: Path) -> Path:
    return folder if folder.exists() or folder == folder.parent else _existing(folder.parent)
