"""Checkpoints go to the store in the background: a store that fails or is slow costs checkpoints, not the training."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from components.errors import InputError, UnavailableError
from components.platform.folders.deletion import WORKSPACE_MARK
from components.platform.storage import objects
from components.training.checkpoints import Checkpoints, forget
from components.training.saving import uploads as module
from components.training.saving.lease import OvertakenError
from components.training.saving.uploads import Uploads, uploading


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.001)


@pytest.fixture(autouse=True)
def _in_a_workspace(tmp_path: Path) -> None:
    (tmp_path / WORKSPACE_MARK).touch()


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(str(tmp_path / "store"), "sft", "key-1")


def saved(tmp_path: Path, step: int) -> Path:
    folder = tmp_path / f"checkpoint-{step}"
    folder.mkdir()
    (folder / "weights").write_text(f"step {step}")
    return folder


def failing(monkeypatch: pytest.MonkeyPatch, errors: Iterator[BaseException | None]) -> list[int]:
    """`Checkpoints.put` raises these in turn, None: it works; returns the steps that were tried."""
    put, tried = Checkpoints.put, []

    def sometimes(self: Checkpoints, folder: Path, step: int, best: int | None = None) -> None:
        tried.append(step)
        if error := next(errors):
            raise error
        put(self, folder, step, best)

    monkeypatch.setattr(Checkpoints, "put", sometimes)
    return tried


def test_a_folder_is_stored_and_deleted(checkpoints: Checkpoints, tmp_path: Path) -> None:
    with uploading(checkpoints) as uploads:
        folder = saved(tmp_path, 3)
        uploads.start(folder, 3)
    assert uploads.published == 3 and not folder.exists()
    found = checkpoints.newest(tmp_path / "work")
    assert found is not None and (found[0] / "weights").read_text() == "step 3"


def test_an_error_of_the_store_is_tried_again(
    checkpoints: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = failing(monkeypatch, iter([UnavailableError("later"), UnavailableError("later"), None]))
    with uploading(checkpoints) as uploads:
        uploads.start(saved(tmp_path, 1), 1)
    assert (tried, uploads.published, uploads.failed) == ([1, 1, 1], 1, False)


@pytest.mark.parametrize("error", [UnavailableError("no answer"), InputError("the token expired")])
def test_what_cannot_be_stored_is_said_and_the_training_goes_on(
    checkpoints: Checkpoints,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    broken = [error] * (module.TRIES if isinstance(error, UnavailableError) else 1)
    failing(monkeypatch, iter([*broken, None]))
    with uploading(checkpoints) as uploads:
        uploads.start(saved(tmp_path, 1), 1)
        uploads.wait()
        uploads.check()
        assert not (tmp_path / "checkpoint-1").exists()  # it would fill the disk
        uploads.start(saved(tmp_path, 2), 2)
    assert uploads.published == 2
    assert "step 1 was not stored" in capsys.readouterr().err


def test_after_several_the_training_stops(
    checkpoints: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, iter([None, *[InputError("refused")] * module.FAILURES]))
    uploads = Uploads(checkpoints)
    for step in range(module.FAILURES + 1):
        uploads.check()
        uploads.start(saved(tmp_path, step), step)
        uploads.wait()
    assert uploads.failed
    with pytest.raises(UnavailableError, match=r"5 checkpoints in a row could not be stored \(refused\).* of step 0"):
        uploads.check()


@pytest.mark.parametrize("error", [OvertakenError("held by attempt 2"), RuntimeError("a defect")])
def test_what_no_waiting_mends_ends_the_training(
    checkpoints: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    failing(monkeypatch, iter([error]))
    with pytest.raises(type(error), match=str(error)), uploading(checkpoints) as uploads:
        uploads.start(saved(tmp_path, 1), 1)
    assert uploads.failed


def test_a_slow_store_makes_checkpoints_rarer_and_not_the_training_slower(
    checkpoints: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one is on its way the next is put off, once the short waits are used up."""
    goes_on = threading.Event()
    monkeypatch.setattr(Checkpoints, "put", lambda *_: goes_on.wait(60))
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    waits: list[float] = []
    uploads = Uploads(checkpoints)

    def wait(seconds: float | None = None) -> bool:
        waits.append(seconds or 0.0)
        now[0] += seconds or 0.0
        return False

    uploads.start(saved(tmp_path, 1), 1)
    monkeypatch.setattr(uploads, "wait", wait)
    for _ in range(100):
        assert not uploads.ready()
        now[0] += 10
    assert sum(waits) <= 2.0 + 0.05 * now[0]
    monkeypatch.undo()
    goes_on.set()
    assert uploads.wait() and uploads.ready()


@pytest.mark.parametrize("place", ["s3", "local"])
def test_the_upload_in_progress_is_given_up_when_the_training_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, request: pytest.FixtureRequest
) -> None:
    """Whether it is sending or between two tries; what was published before stays, and the half one can be deleted."""
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.0)
    uri = request.getfixturevalue("store_uri") if place == "s3" else str(tmp_path / "store")
    checkpoints = Checkpoints(f"{uri}/c", "sft", "key-1")
    with uploading(checkpoints) as uploads:
        uploads.start(saved(tmp_path, 1), 1)
        uploads.wait()
        half_way, goes_on = threading.Event(), threading.Event()
        read = objects._Hashed.read

        def slowly(self: Any, amount: int = -1) -> bytes:
            piece = read(self, min(amount, 1 << 20))
            half_way.set()
            goes_on.wait(60)
            return piece

        monkeypatch.setattr(objects._Hashed, "read", slowly)
        (folder := saved(tmp_path, 2)).joinpath("weights").write_bytes(bytes(20 << 20))
        uploads.start(folder, 2)
        assert half_way.wait(60)
        checkpoints.abandoned.set()
        goes_on.set()
        uploads.finish()
    assert (uploads.published, uploads.failed, folder.exists()) == (1, False, False)
    assert objects.get_json(f"{checkpoints.folder}/lease.json")["highest"] == 1
    forget(f"{uri}/c")
    assert not [name for name in objects.list_files(f"{uri}/c") if "checkpoint-" in name]


def test_one_that_waits_for_a_store_that_does_not_answer_is_given_up(
    checkpoints: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(module, "FIRST_WAIT", 3600.0)
    monkeypatch.setattr(module, "LONGEST_WAIT", 3600.0)
    tried = failing(monkeypatch, repeat(UnavailableError("later")))
    with uploading(checkpoints) as uploads:
        uploads.start(saved(tmp_path, 1), 1)
        uploads.finish()
    assert len(tried) in (1, 2) and not uploads.busy and not (tmp_path / "checkpoint-1").exists()
