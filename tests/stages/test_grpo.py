"""The grpo stage on a tiny model: prompts that end in the opening, rewards that move weights, exact resuming."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from components.platform.tables import write_rows
from components.stages import grpo as stage
from components.stages.grpo import GrpoConfig, build_trainer, grpo, reward_functions
from pipelines.cli.training import grpo_command

OPENING = "I cannot rule everything else out, but I would pick A, Zinc, for now."
OPTIONS = {"A": "Zinc", "B": "Iron"}
CONFIG = GrpoConfig(
    max_steps=4,
    save_steps=2,
    prompts_per_step=2,
    num_generations=2,
    max_completion_length=8,
    learning_rate=1e-3,
    optim="adafactor",
    device="cpu",
)


def question(number: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Question {number}: which metal?\nA. Zinc\nB. Iron"}]
    return {
        "id": f"q{number}",
        "prompt": json.dumps(messages),
        "options": json.dumps(OPTIONS),
        "answer_idx": "B",
        "opening": OPENING if number % 2 else "",
    }


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    path = tmp_path / "rl.parquet"
    write_rows([question(number) for number in range(5)], path)
    return path


@pytest.fixture
def reachable(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A random model never answers, so these tests reward what it can do: words with an e. Returns what it wrote."""
    seen: list[str] = []

    def rewards(completion: str, options: dict[str, str], answer_idx: str, opening: str) -> dict[str, float | None]:
        seen.append(completion)
        share = completion.count("e") / max(1, len(completion))
        return {"correctness": share, "format": 0.0, "self_correction": share if opening else None}

    monkeypatch.setattr(stage, "rewards", rewards)
    return seen


@pytest.mark.parametrize("change", [{}, {"generator": "shared_prompt"}, {"num_iterations": 2, "beta": 0.1}])
def test_a_resumed_training_ends_with_the_same_weights(
    change: dict[str, Any], mix: Path, tiny_model: Path, tmp_path: Path, reachable: list[str]
) -> None:
    config = GrpoConfig.model_validate({**CONFIG.model_dump(), **change})
    checkpoints = tmp_path / "checkpoints"
    whole = grpo(mix, str(tiny_model), config, str(checkpoints), tmp_path / "whole")
    assert (whole["steps"], whole["resumed_from_step"], whole["rows_with_opening"]) == (4, 0, 2)
    assert whole["completions"] == 16 // config.num_iterations == len(reachable)  # each is read once for all rewards
    assert len(whole["rewards"]) == 4 // config.num_iterations and max(whole["rewards"]) > 0
    assert whole["weights_sha256"] != whole["weights_sha256_start"]
    assert [path.name for path in checkpoints.glob("*/checkpoint-*")] == ["checkpoint-2-1"]

    written, reachable[:] = reachable[:], []
    again = grpo(mix, str(tiny_model), config, str(checkpoints), tmp_path / "again")
    assert again["resumed_from_step"] == 2
    assert reachable == written[len(written) // 2 :]  # the same questions, the same sampled words
    assert again["weights_sha256"] == whole["weights_sha256"]
    assert again["rewards"] == whole["rewards"]


def test_the_trainer_asks_in_groups_and_continues_the_opening(mix: Path, tiny_model: Path, tmp_path: Path) -> None:
    from components.training.pretrained import load_pretrained
    from components.training.rows import read_questions, render_questions

    opened = load_pretrained(tiny_model, seed=0)
    questions = render_questions(read_questions(mix), opened.tokenizer, 500, "fail", mix)
    trainer = build_trainer(opened, questions, CONFIG.model_copy(update={"max_steps": 5}), tmp_path)
    assert trainer.ref_model is None  # beta is 0
    asked: list[str] = []
    for batch in trainer.get_train_dataloader():
        prompts = [row["prompt"] for row in batch]
        assert prompts[0::2] == prompts[1::2]  # groups of two
        asked += prompts[0::2]
        for row in batch:
            assert row["prompt"].endswith(row["opening"] or "<|im_start|>assistant\n")
    assert len(asked) == 10 and len(set(asked[:5])) == len(set(asked[5:])) == 5  # two epochs


def test_rewards_follow_trls_convention() -> None:
    functions = {function.__name__: function for function in reward_functions()}
    batch = {
        "completions": ["The answer is B.", "The answer is A."],
        "options": [json.dumps(OPTIONS)] * 2,
        "answer_idx": ["B", "B"],
        "opening": ["", OPENING],
        "prompts": ["", ""],
        "trainer_state": None,
    }
    assert {name: function(**batch) for name, function in functions.items()} == {
        "correctness": [1.0, 0.0],
        "format": [1.0, 1.0],
        "self_correction": [None, -1.0],
    }


def test_metrics_of_a_run_without_openings(tiny_model: Path, tmp_path: Path, reachable: list[str]) -> None:
    """A reward that never applies is absent from the history, not zero and not NaN."""
    write_rows([{**question(n), "opening": ""} for n in range(3)], tmp_path / "rl.jsonl")
    config = CONFIG.model_copy(update={"max_steps": 2, "dtype": "bfloat16"})
    evidence = grpo(tmp_path / "rl.jsonl", str(tiny_model), config, str(tmp_path / "c"), tmp_path / "out")
    json.dumps(evidence, allow_nan=False)
    for record in evidence["history"]:
        assert {"loss", "reward", "reward_correctness", "completion_tokens", "entropy"} <= set(record)
        assert "reward_self_correction" not in record
    assert json.loads((tmp_path / "out/config.json").read_text())["dtype"] == "bfloat16"


def test_command_line(mix: Path, tiny_model: Path, tmp_path: Path) -> None:
    arguments = ["--mix", mix, "--model", tiny_model, "--checkpoints", tmp_path / "c", "--out", tmp_path / "out"]
    values = {**CONFIG.model_dump(mode="json", exclude_defaults=True), "max_steps": 1, "bf16": True}
    arguments += [word for name, value in values.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    result = CliRunner().invoke(grpo_command, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0 and "grpo: 1 steps (from 0), 4 completions" in result.output


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_iterations": 2, "save_steps": 3, "max_steps": 4}, "save_steps: must be a multiple of 2"),
        ({"num_iterations": 2, "save_steps": 2, "max_steps": 3}, "max_steps: must be a multiple of 2"),
        ({"updates_per_generation": 3, "save_steps": 2}, "save_steps: .* of 3"),
        ({"generator": "shared_prompt", "top_k": 5}, "shared_prompt knows no top_k"),
        ({"generator": "magic"}, "generator"),
        ({"beta": -1}, "beta"),
    ],
)
def test_config_refuses_what_cannot_be_resumed_or_done(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        GrpoConfig.model_validate(values)
