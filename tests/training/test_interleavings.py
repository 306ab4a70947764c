"""Three attempts of one training at once, each stopped, cut off and killed at any call of the store.

Whatever they do: once a checkpoint is published there is always one to go on from, and never an older one than before.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from memory_store import Memory, Process, Turn, memory_store

from components.errors import InputError, StageError
from components.training.checkpoints import Checkpoints
from components.training.saving.lease import OvertakenError

URI = "s3://bucket/checkpoints"
TURNS: tuple[Turn, ...] = ("go", "go", "lose the answer", "die")


def opened() -> Checkpoints:
    return Checkpoints(URI, "sft", "key-1")


class Attempts(RuleBasedStateMachine):
    """Attempts that take over, save every step, and are taken over from."""

    def __init__(self) -> None:
        super().__init__()
        self.store = memory_store()
        self.memory: Memory = self.store.__enter__()
        self.work = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.processes: dict[int, Process] = {}
        self.published = self.reached = 0  # the latest step any `put` returned for; the newest one that was seen
        self.seen = 0
        self.started = 0

    @rule(number=st.integers(0, 2), calls=st.integers(1, 12), turn=st.sampled_from(TURNS))
    def go_on(self, number: int, calls: int, turn: Turn) -> None:
        """One process makes some calls, and the last of them ends as `turn` says; one that ended starts again."""
        process = self.processes.get(number)
        if process is None or not process.alive:
            process = self.processes[number] = Process(self.memory, self.attempt())
        for call in range(calls):
            if process.alive:
                process.step(turn if call == calls - 1 else "go")
        assert process.error is None, process.error

    def attempt(self) -> Callable[[], None]:
        self.started += 1
        folder, before = self.work / f"attempt-{self.started}", self.published

        def program() -> None:
            checkpoints = opened()
            try:
                found = checkpoints.newest(folder)
                step = found[1] if found else 0
                assert step >= before, f"resumed from {step} although {before} was published"
                while True:
                    step += 1
                    saved = folder / f"saved-{step}"
                    saved.mkdir(parents=True)
                    (saved / "weights").write_text(f"weights of step {step}")
                    self.put(checkpoints, saved, step)
            except OvertakenError:
                return
            except StageError:  # the answer was lost as often as it was asked for: this attempt fails
                return

        return program

    def put(self, checkpoints: Checkpoints, saved: Path, step: int) -> None:
        try:
            checkpoints.put(saved, step)
            self.published = max(self.published, step)
        except OvertakenError:
            raise
        except (StageError, InputError):
            return  # this one is not stored; the training goes on to the next

    @invariant()
    def there_is_always_one_to_go_on_from(self) -> None:
        if self.memory.changes == self.seen:
            return
        kept, changes = dict(self.memory.objects), self.memory.changes
        found = opened().newest(self.work / f"observer-{changes}")
        self.memory.objects, self.memory.changes = kept, changes
        self.seen = changes
        step = found[1] if found else 0
        assert step >= max(self.reached, self.published)
        self.reached = step

    def teardown(self) -> None:
        for process in self.processes.values():
            while process.alive:
                process.step("die")
        shutil.rmtree(self.work, ignore_errors=True)
        self.store.__exit__(None, None, None)


@pytest.mark.parametrize("interleavings", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_nothing_published_is_ever_lost(interleavings: int, monkeypatch: pytest.MonkeyPatch) -> None:
    logging.getLogger("components").setLevel(logging.ERROR)
    chosen = settings(
        max_examples=interleavings,
        stateful_step_count=15,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    try:
        run_state_machine_as_test(Attempts, settings=chosen)
    finally:
        logging.getLogger("components").setLevel(logging.NOTSET)


def test_the_real_store_knows_the_same_conditions(store_uri: str, tmp_path: Path) -> None:
    """Attempts that take turns against the S3 server: each publishes until the next one takes over."""
    attempts: list[Checkpoints] = []
    for number in range(3):
        mine = Checkpoints(store_uri, "sft", "key-1")
        found = mine.newest(tmp_path / f"attempt-{number}")
        assert (found[1] if found else 0) == number
        for older in attempts:
            with pytest.raises(OvertakenError):
                older.put(made(tmp_path, number + 100), number + 100)
        mine.put(made(tmp_path, number + 1), number + 1)
        attempts.append(mine)
    found = Checkpoints(store_uri, "sft", "key-1").newest(tmp_path / "last")
    assert found is not None and (found[0] / "weights").read_text() == "weights of step 3"


def made(tmp_path: Path, step: int) -> Path:
    folder = tmp_path / f"made-{step}"
    folder.mkdir(exist_ok=True)
    (folder / "weights").write_text(f"weights of step {step}")
    return folder
