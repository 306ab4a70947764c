"""A training whose store fails now and then: the right weights in the end, and never from zero again."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from faulty_proxy import Answer, Asked, proxy, s3_error

from components.errors import StoppedError
from components.platform.storage import s3
from components.platform.tables import write_rows
from components.stages.sft import SftConfig, sft
from components.training.saving import callback as saving

CONFIG = SftConfig(max_steps=12, save_steps=1, global_batch=2, learning_rate=1e-3, optim="adafactor", device="cpu")
OUTAGE_SECONDS = 4.0


class Faults:
    """One request in ten fails, one body in a hundred is cut short, and for some seconds nothing answers."""

    def __init__(self) -> None:
        self.random = random.Random(18)
        self.outage_from = float("inf")
        self.planted = 0

    def __call__(self, asked: Asked) -> Answer | None:
        now, drawn = time.monotonic(), self.random.random()
        if self.outage_from <= now < self.outage_from + OUTAGE_SECONDS or drawn < 0.10:
            self.planted += 1
            return s3_error(self.random.choice([500, 503]), "InternalError", "planted")
        if drawn < 0.11 and asked.method == "GET" and "list-type" not in asked.query:
            self.planted += 1
            return Answer(200, "cut", {"ETag": '"cut"'})
        return None


@pytest.mark.slow
def test_a_store_that_fails_now_and_then(
    servers: Mapping[str, str], store_uri: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mix = tmp_path / "mix.parquet"
    message = [{"role": "user", "content": "Which metal?\nA. Zinc\nB. Iron"}]
    rows = [
        {"prompt": json.dumps(message), "opening": "", "completion": f"Reason {k}. The answer is B."} for k in range(5)
    ]
    write_rows(rows, mix)
    whole = sft(mix, str(tiny_model), CONFIG, str(tmp_path / "other"), tmp_path / "whole")
    faults, stop_at = Faults(), [3, 6, 9]
    callback = saving.saving_callback

    def with_stops(trainer: Any, stage: str, uploads: Any, stop: Any, *rest: Any) -> Any:
        made = callback(trainer, stage, uploads, stop, *rest)
        decide = made.on_step_end

        def on_step_end(args: Any, state: Any, control: Any, **given: Any) -> Any:
            stop.asked = state.global_step in stop_at
            if state.global_step == 5:
                faults.outage_from = time.monotonic()
            return decide(args, state, control, **given)

        made.on_step_end = on_step_end
        return made

    monkeypatch.setattr("components.training.trainer.saving_callback", with_stops)
    with proxy(servers["AWS_ENDPOINT_URL_S3"], faults) as server, monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        s3.client.cache_clear()
        for step in list(stop_at):
            with pytest.raises(StoppedError, match=f"after step {step} of 12; its checkpoint is stored"):
                sft(mix, str(tiny_model), CONFIG, store_uri, tmp_path / "out")
            stop_at.remove(step)
        last = sft(mix, str(tiny_model), CONFIG, store_uri, tmp_path / "out")
    s3.client.cache_clear()
    assert last["resumed_from_step"] == 9
    assert last["weights_sha256"] == whole["weights_sha256"]
    assert faults.planted > 10
