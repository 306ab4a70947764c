"""A GPU task that sees fewer GPUs than its profile asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from components.errors import StageError
from components.platform import execution
from components.platform.machine import GPUS_VARIABLE, check_gpus
from components.platform.tracking import runs as tracking


def visible_gpus() -> int:
    import torch

    return torch.cuda.device_count()


def test_too_few_gpus_fail_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = visible_gpus()
    monkeypatch.setenv(GPUS_VARIABLE, str(seen + 1))
    with pytest.raises(StageError, match=rf"BIOMED_R1_GPUS={seen + 1}: torch .* sees {seen} GPUs; check the GPU image"):
        check_gpus()


def test_as_many_as_asked_for_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GPUS_VARIABLE, str(visible_gpus()))
    check_gpus()


def test_it_needs_no_waiting_and_costs_nothing_where_no_gpu_was_asked_for() -> None:
    code = (
        "import os, sys; from components.platform.machine import check_gpus; check_gpus()\n"
        f"print('torch' in sys.modules); os.environ['{GPUS_VARIABLE}'] = '64'; check_gpus()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (1, "False") and "BIOMED_R1_GPUS=64" in done.stderr


class Nothing(BaseModel):
    pass


def test_a_stage_stops_before_its_work_and_shows_in_mlflow(store_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GPUS_VARIABLE, "64")
    run = store_uri.rpartition("/")[2]
    worked: list[Path] = []

    def work(out: Path) -> dict[str, str]:
        worked.append(out)
        return {}

    with pytest.raises(StageError, match="BIOMED_R1_GPUS=64"):
        execution.execute(execution.Call("ingest", run, Nothing(), {}), work)
    assert worked == [] and execution.read_receipts(store_uri, run) == {}
    assert tracking.begun_tasks(run) == ["ingest"]
