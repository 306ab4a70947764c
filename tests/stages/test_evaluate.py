"""Evaluate: every item asked once in every setting, marked by the extraction rule, and nothing left out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from components.engines import choice
from components.engines.base import Generation, Request, Sampling
from components.errors import InputError, StageError
from components.extraction import extract
from components.platform.tables import read_metadata, read_rows, write_items
from components.questions.askings import SETTINGS, Asking
from components.questions.items import Item, items_digest
from components.questions.sampling import sample
from components.stages.evaluate import EvaluateConfig, evaluate, make_request
from pipelines.local.doctor import check_recipe_inputs
from pipelines.settings.recipes import load_any_recipe

OPTIONS = {"A": "gout", "B": "scurvy", "C": "rickets", "D": "beriberi"}
COLUMNS = [
    *("item_id", "model", "setting", "sample", "order", "output", "prefill", "prefill_mode", "extracted", "read_by"),
    *("correct", "finish_reason", "prompt_tokens", "output_tokens", "reported_model", "probe"),
]


def item(number: int, **changes: Any) -> Item:
    openings = {f"adversarial_trace_{k}": f"Hmm, perhaps {letter} ({number})." for k, letter in enumerate("ACD")}
    return Item(f"q{number}", f"What is case {number}?", OPTIONS, "B", "medqa", **{**openings, **changes})


def config(**changes: Any) -> EvaluateConfig:
    return EvaluateConfig(**{"engine": "transformers", "dtype": "float32", "max_new_tokens": 4, **changes})


@pytest.fixture
def items(tmp_path: Path) -> Path:
    write_items([item(n) for n in range(6)], tmp_path / "items.parquet")
    return tmp_path / "items.parquet"


class Scripted:
    """An engine whose answers a test writes; what is under test is the stage around it."""

    name, version, prefill_mode, notes = "scripted", "scripted 1", "continued", {}  # type: ignore[var-annotated]

    def __init__(self, answers: dict[str, Generation | None]) -> None:
        self.answers, self.asked, self.closed = answers, [], False  # type: ignore[var-annotated]

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[int, Generation]]:
        self.asked = list(requests)
        for index in reversed(range(len(requests))):
            answer = self.answers.get(requests[index].opening, Generation("The answer is B.", "stop", 9, 6))
            if answer is not None:
                yield index, answer

    def pick(self, requests: Sequence[Request], letters: Sequence[Sequence[str]]) -> list[str | None]:
        return [choices[0] for choices in letters]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    engine = Scripted({})
    monkeypatch.setattr(choice, "load_engine", lambda *_: engine)
    return engine


def test_a_base_model_is_refused_before_loading_and_answers_with_a_template(
    items: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from pipelines.cli.evaluation import evaluate_command

    base, file = tmp_path / "base", tmp_path / "chatml.jinja"
    shutil.copytree(tiny_model, base)
    shutil.move(base / "chat_template.jinja", file)
    arguments = ["--model", str(base), "--items", str(items), "--out", str(tmp_path / "o"), "--limit", "2"]
    arguments += ["--engine", "transformers", "--settings", "plain", "--set", "max_new_tokens=3"]
    with monkeypatch.context() as patched:
        patched.setattr(choice, "load_engine", lambda *_: pytest.fail("loaded"))
        with pytest.raises(InputError, match=r"no chat template.*evaluate --chat-template FILE"):
            CliRunner().invoke(evaluate_command, arguments, catch_exceptions=False)
        recipe = load_any_recipe("models-demo", (f"models=[{{name: b, model: {base}}}]",))
        with pytest.raises(InputError, match="no chat template"):
            check_recipe_inputs(recipe)
    CliRunner().invoke(evaluate_command, [*arguments, "--chat-template", str(file)], catch_exceptions=False)
    assert len(read_rows(tmp_path / "o" / "answers.parquet")) == 2
    assert read_metadata(tmp_path / "o" / "answers.parquet")["chat_template"].startswith("given, sha256 ")


def test_a_real_model_answers_everything_once(items: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.parquet"
    evidence = evaluate(items, str(tiny_model), "tiny", config(), out)
    rows = read_rows(out)
    assert [(row["item_id"], row["setting"]) for row in rows] == [(f"q{n}", s) for n in range(6) for s in SETTINGS]
    assert list(rows[0]) == COLUMNS
    for row in rows:
        number, k = int(row["item_id"][1:]), SETTINGS.index(row["setting"]) - 1
        assert row["prefill"] == ("" if k < 0 else item(number).opening(k))
        assert row["extracted"] == extract(row["output"], OPTIONS)
        assert row["correct"] is (row["extracted"] == "B")
        assert row["prefill"] not in row["output"] or not row["prefill"]
        assert (row["model"], row["prefill_mode"]) == ("tiny", "continued")
        assert 1 <= row["output_tokens"] <= 4
    assert (evidence["rows_in"], evidence["rows_out"]) == (6, 24)
    assert evidence["output_tokens"] == sum(row["output_tokens"] for row in rows)
    assert evidence["truncated"] == sum(row["finish_reason"] == "length" for row in rows) > 0
    json.dumps(evidence, allow_nan=False)


def test_asked_again_it_writes_the_same_rows(items: Path, tiny_model: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        evaluate(items, str(tiny_model), "tiny", config(temperature=0.9), tmp_path / f"{name}.parquet")
    assert read_rows(tmp_path / "a.parquet") == read_rows(tmp_path / "b.parquet")
    evaluate(items, str(tiny_model), "tiny", config(temperature=0.9, seed=1), tmp_path / "c.parquet")
    assert read_rows(tmp_path / "a.parquet") != read_rows(tmp_path / "c.parquet")


def test_metadata_says_what_could_change_a_row(items: Path, tiny_model: Path, tmp_path: Path) -> None:
    evidence = evaluate(items, str(tiny_model), "tiny", config(limit=1, settings=("plain",)), tmp_path / "a.parquet")
    metadata = read_metadata(tmp_path / "a.parquet")
    assert metadata["engine"].startswith("transformers ") and metadata["engine"].endswith(" float32")
    assert metadata["prompt"].startswith("direct:")
    assert json.loads(metadata["decoding"]) == {"max_new_tokens": 4, "temperature": 0.0}
    assert metadata["weights_sha256"] == evidence["weights_sha256"]
    assert {"schema_version", "extraction", "items_digest"} <= set(metadata)


def test_marks_and_counts(items: Path, tiny_model: Path, tmp_path: Path, scripted: Scripted) -> None:
    scripted.answers = {
        "Hmm, perhaps A (0).": Generation("", "stop", 20, 1),
        "Hmm, perhaps C (0).": Generation("I would think about", "length", 20, 4),
        "Hmm, perhaps D (0).": Generation("The answer is D.", "stop", 20, 6),
    }
    evidence = evaluate(items, str(tiny_model), "m", config(limit=6), tmp_path / "a.parquet")
    cells = {
        setting: (c["n"], c["correct"], c["no_answer"], c["truncated"]) for setting, c in evidence["settings"].items()
    }
    assert cells == {
        "plain": (6, 6, 0, 0),
        "adversarial_0": (6, 5, 1, 0),
        "adversarial_1": (6, 5, 1, 1),
        "adversarial_2": (6, 5, 0, 0),
    }
    rows = {(row["item_id"], row["setting"]): row for row in read_rows(tmp_path / "a.parquet")}
    assert rows["q0", "adversarial_0"]["extracted"] is None
    assert rows["q0", "adversarial_2"]["extracted"] == "D"
    assert evidence["metrics"]["accuracy_adversarial_0"] == pytest.approx(5 / 6)
    assert scripted.closed


def test_settings_of_a_question_are_adjacent(items: Path, tiny_model: Path, tmp_path: Path, scripted: Scripted) -> None:
    evaluate(items, str(tiny_model), "m", config(), tmp_path / "a.parquet")
    messages = [request.messages for request in scripted.asked]
    assert all(len(set(messages[i : i + 4])) == 1 for i in range(0, len(messages), 4))
    assert len(set(messages)) == 6


def test_a_missing_answer_is_a_failure(items: Path, tiny_model: Path, tmp_path: Path, scripted: Scripted) -> None:
    scripted.answers = {"Hmm, perhaps C (3).": None}
    with pytest.raises(StageError, match=r"1 of 24 answers are missing, the first for item q3 \(adversarial_1\)"):
        evaluate(items, str(tiny_model), "m", config(), tmp_path / "a.parquet")
    assert not (tmp_path / "a.parquet").exists()
    assert scripted.closed


def test_a_missing_opening_is_bad_input_before_any_model_is_touched(tmp_path: Path) -> None:
    write_items([item(0), item(1, adversarial_trace_2=None)], tmp_path / "items.parquet")
    with pytest.raises(InputError, match="item q1: adversarial_trace_2: missing"):
        evaluate(tmp_path / "items.parquet", "no-such-folder", "m", config(), tmp_path / "a.parquet")


def test_plain_needs_no_opening(tiny_model: Path, tmp_path: Path, scripted: Scripted) -> None:
    bare = dict.fromkeys((f"adversarial_trace_{k}" for k in range(3)), None)
    write_items([item(0, **bare)], tmp_path / "items.parquet")
    evidence = evaluate(
        tmp_path / "items.parquet", str(tiny_model), "m", config(settings=("plain",)), tmp_path / "a.parquet"
    )
    assert evidence["rows_out"] == 1


@pytest.mark.parametrize(
    "fields",
    [{"prompt": "terse"}, {"settings": ("plain", "plain")}, {"settings": ("loud",)}, {"settings": ()}, {"tokens": 3}],
)
def test_bad_configuration_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EvaluateConfig(**fields)


def test_a_larger_sample_contains_the_smaller() -> None:
    every = [item(n) for n in range(40)]
    small, large = sample(every, 5, seed=3), sample(every, 12, seed=3)
    assert len(small) == 5 and len(large) == 12
    assert {i.id for i in small} < {i.id for i in large}
    assert [i.id for i in large] == [i.id for i in every if i in large]
    assert sample(list(reversed(every)), 5, seed=3)[::-1] == small
    assert sample(every, 5, seed=4) != small


def test_items_digest_is_of_what_is_asked() -> None:
    every = [item(0), item(1)]
    assert items_digest(every) == items_digest([i.with_(is_reasoning=True, reasoning_prob=0.9) for i in every])
    assert items_digest(every) != items_digest([every[0], every[1].with_(adversarial_trace_1="Perhaps C.")])
    assert items_digest(every) != items_digest([every[0], every[1].with_(answer_idx="A")])


def test_seeds_differ_between_requests() -> None:
    seeds = {make_request(Asking(item(n), setting), config()).seed for n in range(20) for setting in SETTINGS}
    assert len(seeds) == 80


def test_importing_the_stage_imports_no_torch() -> None:
    code = "import sys, components.stages.evaluate; print({'torch', 'transformers', 'vllm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_command_writes_answers_and_evidence(items: Path, tiny_model: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from pipelines.cli.evaluation import evaluate_command

    evidence = tmp_path / "evidence.json"
    given = ["--model", str(tiny_model), "--items", str(items), "--out", str(tmp_path / "out"), "--limit", "2"]
    given += [
        "--settings",
        "plain,adversarial_1",
        "--engine",
        "transformers",
        "--name",
        "tiny",
        "--json",
        str(evidence),
    ]
    result = CliRunner().invoke(evaluate_command, [*given, "--set", "max_new_tokens=3"], catch_exceptions=False)
    lines = [line.split("\t") for line in result.output.splitlines()]
    assert ["setting", "right", "asked"] in [line[:3] for line in lines]
    assert any(line[0] == "adversarial_1" and line[1] in ("0", "1") and line[2] == "2" for line in lines)
    rows = read_rows(tmp_path / "out" / "answers.parquet")
    assert [row["setting"] for row in rows] == ["plain", "adversarial_1"] * 2
    assert json.loads(evidence.read_text())["rows_out"] == 4


def test_command_refuses_an_unknown_setting(items: Path, tmp_path: Path) -> None:
    from pipelines.cli.evaluation import evaluate_command

    with pytest.raises(InputError, match="settings"):
        evaluate_command.main(
            ["--model", "x", "--items", str(items), "--out", str(tmp_path), "--settings", "plain,loud"],
            standalone_mode=False,
        )


def test_the_probe_is_a_column_of_its_own_and_marks_nothing(items: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.parquet"
    evaluate(items, str(tiny_model), "tiny", config(probe_percent=100), out)
    rows = read_rows(out)
    finished = [row for row in rows if row["finish_reason"] == "stop"]
    assert all(row["probe"] in ("A", "B", "C", "D") for row in finished)
    assert all(row["probe"] is None for row in rows if row["finish_reason"] != "stop")
    assert "100 %" in read_metadata(out)["probe"]
    evaluate(items, str(tiny_model), "tiny", config(probe_percent=0), tmp_path / "unprobed.parquet")
    unprobed = read_rows(tmp_path / "unprobed.parquet")
    assert [row["correct"] for row in unprobed] == [row["correct"] for row in rows]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("adversarial", SETTINGS[1:]),
        ("plain, adversarial", SETTINGS),
        (["adversarial", "plain"], (*SETTINGS[1:], "plain")),
        ("adversarial_1,plain,", ("adversarial_1", "plain")),
    ],
)
def test_adversarial_means_all_three_prefills(given: Any, expected: tuple[str, ...]) -> None:
    assert config(settings=given).settings == expected


@pytest.mark.parametrize("given", ["adversarial,adversarial_0", "", "adversarial_3", 7, [3]])
def test_settings_that_are_none(given: Any) -> None:
    with pytest.raises(ValidationError, match="settings"):
        config(settings=given)
