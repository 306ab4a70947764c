"""GRPO's own pieces: rewards read once, seeds of requests, held-out evaluation, spread, rollouts."""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors.torch import load_file

from components.errors import InputError, StageError, StoppedError
from components.platform.storage import store
from components.platform.tables import write_rows
from components.stages import grpo as stage
from components.stages.grpo import GrpoConfig, grpo
from components.training.checkpoints import Checkpoints
from components.training.place import TrainerPlace
from components.training.rl.held_out import evaluation_fields, hold_out
from components.training.rl.scoring import log_dropped, once, request_seed, seed_requests
from components.training.rl.watching import best_callback, spread_callback
from components.training.saving import uploads

CONFIG = GrpoConfig(
    max_steps=4,
    save_steps=4,
    prompts_per_step=2,
    num_generations=2,
    max_completion_length=8,
    learning_rate=1e-3,
    optim="adafactor",
    device="cpu",
    rollout_steps=2,
)


def question(number: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Question {number}: which metal?\nA. Zinc\nB. Iron"}]
    options = json.dumps({"A": "Zinc", "B": "Iron"})
    return {"prompt": json.dumps(messages), "options": options, "answer_idx": "B", "opening": ""}


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    write_rows([question(number) for number in range(8)], tmp_path / "rl.parquet")
    return tmp_path / "rl.parquet"


def by_letters(completion: str, *_: Any) -> dict[str, float | None]:
    return {"correctness": completion.count("e") / 8, "format": 0.0, "self_correction": None}


def test_a_completion_is_read_once_for_all_rewards() -> None:
    read: list[str] = []

    def score(text: str, options: dict[str, str], answer: str, opening: str) -> dict[str, float | None]:
        read.append(text)
        return {"a": float(len(text)), "b": None}

    first, second = once(["a", "b"], score)
    given: dict[str, Any] = {"options": ["{}"] * 2, "answer_idx": ["A"] * 2, "opening": [""] * 2}
    one, other = ["x", "yy"], ["x", "zzz"]
    assert (first(completions=one, **given), second(completions=one, **given)) == ([1.0, 2.0], [None, None])
    assert second(completions=other, **given) == [None, None] and first(completions=other, **given) == [1.0, 3.0]
    assert read == ["x", "yy", "x", "zzz"]
    assert (first.__name__, second.__name__) == ("a", "b")


@dataclass
class Params:
    """The one method of vLLM's SamplingParams that is used."""

    seed: int | None = None

    def clone(self) -> Params:
        return replace(self)


def test_each_request_has_the_seed_of_its_step_and_row() -> None:
    def seeds(step: int, process: int, count: int, parallel: int = 1) -> list[int]:
        llm = SimpleNamespace(generate=lambda prompts, sampling_params, use_tqdm: sampling_params)
        trainer = SimpleNamespace(
            vllm_generation=SimpleNamespace(llm=llm, tensor_parallel_size=parallel),
            accelerator=SimpleNamespace(process_index=process),
            state=SimpleNamespace(global_step=step),
        )
        seed_requests(trainer, 7)
        return [params.seed for params in llm.generate(["x"] * count, sampling_params=Params(), use_tqdm=False)]

    assert seeds(3, 0, 4) == seeds(3, 0, 2) + seeds(3, 1, 2), "whatever the number of processes"
    assert seeds(3, 0, 4, parallel=2) == seeds(3, 1, 4, parallel=2), "GPUs of one copy agree"
    assert len({*seeds(3, 0, 4), *seeds(4, 0, 4)}) == 8
    assert 0 <= request_seed(7, 3, 0) < 2**63


def test_what_trl_drops_is_logged() -> None:
    import torch

    trainer = SimpleNamespace(
        _generate_and_score_completions=lambda inputs: {"importance_sampling_ratio": torch.tensor([[0.0], [1.2]])},
        _metrics={"train": {"sampling/dropped_share": []}},
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(gather=lambda value: value),
    )
    log_dropped(trainer)
    trainer._generate_and_score_completions([])
    assert trainer._metrics["train"]["sampling/dropped_share"] == [0.5]


def test_rows_are_held_out_by_the_seed_and_split_evenly() -> None:
    rows = [{"number": number} for number in range(20)]
    kept, held = hold_out(rows, 6, seed=1)
    assert sorted(row["number"] for row in kept + held) == list(range(20)) and len(held) == 6
    assert hold_out(rows, 6, seed=1) == (kept, held) != hold_out(rows, 6, seed=2)
    with pytest.raises(InputError, match="leave none to train on"):
        hold_out(rows, 20, seed=1)
    place = TrainerPlace(gpus=4, launch="torchrun")
    assert evaluation_fields(5, 40, place)["per_device_eval_batch_size"] == 5
    with pytest.raises(InputError, match="cannot be split evenly over 4"):
        evaluation_fields(5, 6, place)


def test_a_training_with_held_out_questions_keeps_its_best_and_its_rollouts(
    mix: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "rewards", by_letters)
    config = CONFIG.model_copy(update={"evaluation_rows": 4, "evaluation_steps": 2})
    uri = str(tmp_path / "checkpoints")
    evidence = grpo(mix, str(tiny_model), config, uri, tmp_path / "out")
    assert (evidence["rows_in"], evidence["rows_trained"], evidence["rows_held_out"]) == (8, 4, 4)
    assert evidence["metrics"]["best_step"] in (2, 4)
    assert evidence["metrics"]["held_out_reward_best"] >= 0
    (lease,) = Path(uri).glob("*/lease.json")
    assert json.loads(lease.read_text())["best"] == 2, "the only one that was stored: none is at the last step"
    kept = [store.get_json(f"{uri}-rollouts/step-00000{step}.json")["rows"] for step in (2, 4)]
    assert [len(rows) for rows in kept] == [4, 4]
    assert set(kept[0][0]) == {"prompt", "completion", "advantage", "rewards"}
    assert kept[0][0]["rewards"]["self_correction"] is None
    assert [record["step"] for record in evidence["history"]] == [1, 2, 3, 4], "evaluations are no steps"


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held-out rewards by step: the best is that of step 2."""
    rewards = {2: 0.9, 4: 0.1, 6: 0.2}
    build = stage.best_callback

    def best(*given: Any) -> Any:
        callback = build(*given)
        evaluated = callback.on_evaluate

        def on_evaluate(args: Any, state: Any, control: Any, **_: Any) -> Any:
            return evaluated(args, state, control, metrics={"eval_reward": rewards[state.global_step]})

        callback.on_evaluate = on_evaluate
        return callback

    monkeypatch.setattr(stage, "best_callback", best)
    monkeypatch.setattr(stage, "rewards", by_letters)


BEST = CONFIG.model_copy(
    update={
        "max_steps": 6,
        "save_steps": 1,
        "evaluation_rows": 4,
        "evaluation_steps": 2,
        "rollout_steps": None,
        "hand_on": "best",
    }
)


@pytest.mark.usefixtures("planned")
def test_the_best_weights_are_handed_on_after_a_stop_too(
    mix: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the store still takes the checkpoint before when the best evaluation comes, and waits are used up."""
    monkeypatch.setattr(uploads, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(uploads, "WAIT_SHARE", 0.0)
    put = Checkpoints.put
    evaluated = threading.Event()

    def slowly(self: Checkpoints, folder: Path, step: int, best: int | None = None) -> None:
        if step == 1:
            evaluated.wait(30)
        put(self, folder, step, best)
        if step == 4:  # the second evaluation is over, and not better
            os.kill(os.getpid(), signal.SIGTERM)

    ready = uploads.Uploads.ready

    def asked(self: Any) -> bool:
        found = ready(self)
        if not found:
            evaluated.set()
        return found

    monkeypatch.setattr(Checkpoints, "put", slowly)
    monkeypatch.setattr(uploads.Uploads, "ready", asked)
    uri = tmp_path / "checkpoints"
    with pytest.raises(StoppedError):
        grpo(mix, str(tiny_model), BEST, str(uri), tmp_path / "out")
    monkeypatch.setattr(Checkpoints, "put", put)
    evidence = grpo(mix, str(tiny_model), BEST, str(uri), tmp_path / "out")
    assert evidence["resumed_from_step"] >= 4 and evidence["steps"] == 6
    assert (evidence["metrics"]["best_step"], evidence["metrics"]["handed_on_step"]) == (2, 2)
    handed_on = load_file(tmp_path / "out/model.safetensors")
    (kept,) = uri.glob("*/checkpoint-2-*/model.safetensors")
    assert all(bool((handed_on[name] == value).all()) for name, value in load_file(kept).items())
    last = BEST.model_copy(update={"hand_on": "last"})
    assert last.resumed_part() == BEST.resumed_part()  # the choice can be made at the end
    other = grpo(mix, str(tiny_model), last, str(uri), tmp_path / "last")
    assert other["resumed_from_step"] > 0 and "handed_on_step" not in other["metrics"]
    assert other["weights_sha256"] != evidence["weights_sha256"]


@pytest.mark.usefixtures("planned")
def test_a_best_checkpoint_that_could_not_be_stored_is_said(
    mix: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Checkpoints.put

    def refusing(self: Checkpoints, folder: Path, step: int, best: int | None = None) -> None:
        if step == 2:
            raise InputError("the token expired")
        put(self, folder, step, best)

    monkeypatch.setattr(Checkpoints, "put", refusing)
    with pytest.raises(StageError, match=r"of step 2 could not be stored.* hand_on=last goes on from the newest one"):
        grpo(mix, str(tiny_model), BEST, str(tmp_path / "c"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_training_that_gets_no_better_ends_early_and_says_why() -> None:
    callback = best_callback(every=5, patience=2)
    state = SimpleNamespace(global_step=0, best_metric=None, best_global_step=None)
    control = SimpleNamespace(should_training_stop=False, should_save=False)
    for step, reward in ((5, 0.2), (10, 0.4), (15, 0.3), (20, 0.4)):
        state.global_step = step
        assert not control.should_training_stop
        callback.on_step_end(None, state, control)
        callback.on_evaluate(None, state, control, metrics={"eval_reward": reward})
    assert (state.best_metric, state.best_global_step, control.should_save) == (0.4, 10, True)
    assert control.should_training_stop
    assert control.early_stop_reason.startswith("no better held-out reward for 2 evaluations; the best was 0.400")


def test_no_spread_for_too_long_ends_the_training() -> None:
    callback = spread_callback(3)
    state = SimpleNamespace(global_step=9)
    for share in (1.0, 1.0, 0.5, 1.0, None, 1.0):
        callback.on_log(None, state, None, logs={} if share is None else {"frac_reward_zero_std": share})
    with pytest.raises(StageError, match="step 9: for 3 steps no group of completions had rewards that differ"):
        callback.on_log(None, state, None, logs={"frac_reward_zero_std": 1.0})


def test_a_random_model_that_never_answers_is_stopped(mix: Path, tiny_model: Path, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"max_steps_without_spread": 2, "rollout_steps": None})
    with pytest.raises(StageError, match="step 2: for 2 steps no group"):
        grpo(mix, str(tiny_model), config, str(tmp_path / "c"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"patience": 2}, "goes with evaluation_rows"),
        ({"evaluation_rows": 4, "num_iterations": 2, "evaluation_steps": 3, "save_steps": 2}, "multiple of 2"),
        ({"hand_on": "best"}, "hand_on: best goes with evaluation_rows"),
        ({"vllm_correction": "magic"}, "vllm_correction"),
    ],
)
def test_settings_that_cannot_be(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GrpoConfig.model_validate(values)
