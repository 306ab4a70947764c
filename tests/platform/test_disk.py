"""A full disk becomes one readable error; other failures stay what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.errors import InputError, StageError
from components.platform.machine import needs_space


def test_a_write_that_finds_no_space(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is missing")
    with pytest.raises(InputError, match="no space left on this disk"), needs_space(tmp_path / "not" / "made"):
        Path("/dev/full").write_bytes(b"x")


@pytest.mark.parametrize("error", [ValueError("no"), RuntimeError("other"), StageError("step 3"), KeyboardInterrupt()])
def test_other_errors_pass(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, needs_space(tmp_path):
        raise error
    assert caught.value is error
