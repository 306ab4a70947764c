"""Curves in a real MLflow while a training runs: no step twice, whatever is resumed, and a server that is gone."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest

from components.platform.tables import write_rows
from components.platform.tracking import runs as tracking
from components.stages.sft import SftConfig, sft
from components.training.live_metrics import Sender, renamed

CONFIG = SftConfig(max_steps=4, save_steps=2, global_batch=2, learning_rate=1e-3, optim="adafactor", device="cpu")


def test_names_are_ours_and_an_evaluation_is_told_apart() -> None:
    entry = {"loss": 0.5, "eval_reward": 0.25, "grad_norm": float("nan"), "epoch": 1, "step": 3}
    names = {"loss": "loss", "reward": "reward", "grad_norm": "grad_norm"}
    assert renamed(entry, names, 3) == {"step": 3, "loss": 0.5, "held_out_reward": 0.25}


def test_a_server_that_is_gone_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Gone(tracking.Tracked):
        def history(self, *_: object, **__: object) -> None:
            raise ConnectionError("no route")

    with caplog.at_level(logging.WARNING):
        sender = Sender(Gone("x"), seconds=0.01)
        for step in range(20):
            sender.put({"step": step, "loss": 1.0})
        sender.close(5)
    assert [record.message for record in caplog.records] == [
        "live metrics: no route; the curves are complete when the stage ends"
    ]


def test_the_curves_of_a_resumed_training_are_whole_and_hold_no_step_twice(
    servers: Mapping[str, str], tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    rows = [
        {
            "prompt": json.dumps([{"role": "user", "content": f"Question {number}?"}]),
            "opening": "",
            "completion": "Because.\nThe answer is B.",
        }
        for number in range(5)
    ]
    write_rows(rows, tmp_path / "sft.parquet")
    run = f"live-{uuid.uuid4().hex}"

    def train(config: SftConfig, out: str) -> str:
        with tracking.stage_run(run, "sft", "sft") as tracked:
            evidence = sft(
                tmp_path / "sft.parquet", str(tiny_model), config, str(tmp_path / "checkpoints"), tmp_path / out
            )
            tracked.history(evidence["history"], once=True)
        return str(tracked.run_id)

    with pytest.raises(ZeroDivisionError), tracking.stage_run(run, "sft", "sft") as failed:
        failed.history([{"step": 1, "loss": 1.0}])
        raise ZeroDivisionError
    first = train(CONFIG, "out")
    assert first == failed.run_id, "an attempt that failed is continued"
    client = tracking._client()
    steps = [metric.step for metric in client.get_metric_history(first, "grad_norm")]
    assert sorted(steps) == [1, 2, 3, 4]
    assert sorted(m.step for m in client.get_metric_history(first, "loss")) == [1, 2, 3, 4]
    assert client.get_metric_history(first, "step_seconds") and client.get_metric_history(first, "tokens_per_second")
    assert client.get_run(first).info.status == "FINISHED"
    again = train(CONFIG, "again")
    assert again != first, "one that finished is not"
    assert sorted(m.step for m in client.get_metric_history(again, "loss")) == [1, 2, 3, 4]
