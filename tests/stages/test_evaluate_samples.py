"""Several answers to a question, and a second order of its options: from a real model to scores, whole or in shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from components.engines.base import Generation
from components.errors import StageError
from components.extraction import extract
from components.platform.storage.journal import Journal
from components.platform.tables import read_metadata, read_rows, write_items, write_rows
from components.questions.items import Item
from components.questions.orders import original_letter, reordered_options
from components.questions.sharding import shard
from components.stages import evaluate as stage
from components.stages.compare import CompareConfig, challenge, explained, score_files
from components.stages.evaluate import EvaluateConfig, evaluate
from components.stages.merge import MergeConfig, merge
from pipelines.cli.evaluation import evaluate_command

OPTIONS = {"A": "gout", "B": "scurvy", "C": "rickets", "D": "beriberi"}
SETTINGS = ("plain", "adversarial_0")


def make_items() -> list[Item]:
    """Six questions; of the last two one cannot be reordered and one has a prefill that cannot be rewritten."""
    made = [Item(f"q{n}", f"What is case {n}?", OPTIONS, "B", "medqa", adversarial_trace_0="Perhaps C, rickets.")
            for n in range(6)]  # fmt: skip
    made[4] = made[4].with_(options={"A": "gout", "B": "A and C", "C": "rickets", "D": "Both A and B"})
    made[5] = made[5].with_(adversarial_trace_0="Perhaps C or D.")
    return made


@pytest.fixture
def items(tmp_path: Path) -> Path:
    write_items(make_items(), tmp_path / "items.parquet")
    return tmp_path / "items.parquet"


def config(**changes: Any) -> EvaluateConfig:
    fields = {
        "engine": "transformers",
        "dtype": "float32",
        "max_new_tokens": 4,
        "temperature": 1.0,
        "settings": SETTINGS,
    }
    return EvaluateConfig(**{**fields, **changes})


def test_samples_at_temperature_zero_are_refused_in_words() -> None:
    with pytest.raises(ValidationError, match="samples: 4 answers at temperature 0 are the same answer 4 times"):
        EvaluateConfig(samples=4)
    assert EvaluateConfig(samples=4, temperature=0.7).samples == 4
    assert EvaluateConfig(samples=4, send_sampling=False).samples == 4, "the endpoint's own temperature may be any"


def test_each_sample_is_drawn_with_a_seed_of_its_own(items: Path, tiny_model: Path, tmp_path: Path) -> None:
    evidence = evaluate(items, str(tiny_model), "m", config(samples=3), tmp_path / "three.parquet")
    rows = read_rows(tmp_path / "three.parquet")
    assert [(r["item_id"], r["setting"], r["sample"]) for r in rows[:6]] == [
        ("q0", s, n) for s in SETTINGS for n in range(3)
    ]
    assert evidence["rows_out"] == len(rows) == 36 and evidence["settings"]["plain"]["n"] == 18
    assert len({r["output"] for r in rows if r["item_id"] == "q0"}) > 3
    evaluate(items, str(tiny_model), "m", config(), tmp_path / "one.parquet")
    # The first sample is what a single answer would have been.
    assert [r for r in rows if r["sample"] == 0] == read_rows(tmp_path / "one.parquet")
    assert read_metadata(tmp_path / "three.parquet") == {**read_metadata(tmp_path / "one.parquet"), "samples": "3"}


def test_options_in_a_second_order(items: Path, tiny_model: Path, tmp_path: Path) -> None:
    evidence = evaluate(
        items, str(tiny_model), "m", config(permute_options=True, probe_percent=100), tmp_path / "a.parquet"
    )
    rows = read_rows(tmp_path / "a.parquet")
    permuted = [r for r in rows if r["order"]]
    assert len(rows) - len(permuted) == 12
    assert (evidence["permuted"], evidence["orders_fixed"], evidence["prefills_not_rewritten"]) == (9, 1, 1)
    assert {r["item_id"] for r in permuted} == {"q0", "q1", "q2", "q3", "q5"}
    for row in permuted:
        shown = reordered_options(OPTIONS, row["order"])
        read = extract(row["output"], shown)
        assert row["extracted"] == (read and original_letter(OPTIONS, row["order"], read))
        assert row["correct"] is (row["extracted"] == "B")
        letter = next(x for x, text in shown.items() if text == "rickets")
        assert row["prefill"] in ("", f"Perhaps {letter}, rickets.")
    assert read_metadata(tmp_path / "a.parquet")["permuted_options"] == "seed 0"
    assert evidence["settings"]["plain"]["n"] == 6


class Knows:
    """Says which text is right, by the letter it stands at; the probe answers with the same letter."""

    name, version, prefill_mode, notes = "transformers", "scripted 1", "continued", {}

    def generate(self, requests: Any, sampling: Any) -> Any:
        for n, request in enumerate(requests):
            yield n, Generation(f"The answer is {self._letter(request)}.", "stop", 9, 6)

    def pick(self, requests: Any, letters: Any) -> list[str]:
        return [self._letter(request) for request in requests]

    def _letter(self, request: Any) -> str:
        (line,) = (line for line in request.messages[-1][1].splitlines() if line.endswith(". scurvy"))
        return str(line[0])

    def close(self) -> None:
        pass


def test_who_knows_the_text_is_right_in_every_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "start_engine", lambda *_: (Knows(), "weights"))
    write_items(make_items()[:4], tmp_path / "items.parquet")
    asked = config(permute_options=True, samples=2, probe_percent=100)
    evaluate(tmp_path / "items.parquet", "x", "m", asked, tmp_path / "a.parquet")
    rows = read_rows(tmp_path / "a.parquet")
    assert len(rows) == 4 * 2 * 2 * 2
    assert all(r["correct"] and r["extracted"] == r["probe"] == "B" for r in rows)
    assert len({r["output"] for r in rows}) > 1
    given = (tmp_path / "items.parquet", [tmp_path / "a.parquet"])
    scores = score_files(*given, CompareConfig(draws=100), tmp_path / "scores.json")
    assert {c["accuracy"] for c in scores["cells"]} == {1.0} and {c["n"] for c in scores["cells"]} == {4}
    assert [(r["setting"], r["k"], r["pass_at_k"]) for r in scores["samples"]] == [(s, 2, 1.0) for s in SETTINGS]
    assert [r["moved"] for r in scores["positions"] if r["kind"] == "moved"] == [0.0, 0.0]
    told = list(explained(*given, "q0"))
    assert any("options in the order" in text and "sample 1" in text for text in told)


def test_the_ledger_tells_orders_apart(tmp_path: Path) -> None:
    write_items(make_items()[:1], tmp_path / "items.parquet")
    digests = []
    for order in (None, "BADC"):
        rows = [
            {"item_id": "q0", "model": m, "setting": "plain", "output": "A", "order": order} for m in ("old", "new")
        ]
        write_rows(rows, tmp_path / "a.jsonl")
        found = challenge(tmp_path / "items.parquet", [tmp_path / "a.jsonl"], "old", "new", CompareConfig())
        digests.append(found.answers)
    assert digests[0] != digests[1]


MORE = {"samples": 2, "permute_options": True}


def test_shards_make_up_the_whole_and_a_missing_sample_or_order_is_named(tiny_model: Path, tmp_path: Path) -> None:
    write_items(make_items(), tmp_path / "items.parquet")
    evaluate(tmp_path / "items.parquet", str(tiny_model), "m", config(**MORE), tmp_path / "whole.parquet")
    pieces = []
    for number in range(2):
        write_items(shard(make_items(), number, 2), tmp_path / "part.parquet")
        pieces.append(tmp_path / f"{number}.parquet")
        evaluate(tmp_path / "part.parquet", str(tiny_model), "m", config(**MORE), pieces[-1])
    wanted = MergeConfig(shards=2, models={"m": {"settings": SETTINGS, **MORE}})  # type: ignore[dict-item]
    merge(tmp_path / "items.parquet", pieces, wanted, tmp_path / "merged")
    assert read_rows(tmp_path / "merged" / "m.parquet") == read_rows(tmp_path / "whole.parquet")
    assert read_metadata(tmp_path / "merged" / "m.parquet") == read_metadata(tmp_path / "whole.parquet")
    rows, notes = read_rows(pieces[0]), read_metadata(pieces[0])
    last = next(n for n, r in enumerate(rows) if r["order"] and r["sample"] == 1)
    for changed, told in (
        (rows[:last] + rows[last + 1 :], rf"1 of \d+ answers are missing.*order {rows[last]['order']}, sample 1"),
        ([*rows, rows[last]], "sample 1.*answered twice"),
        ([*rows, {**rows[last], "sample": 2}], "answers to what was not asked"),
    ):
        write_rows(changed, tmp_path / "changed.parquet", notes)
        with pytest.raises(StageError, match=told):
            merge(tmp_path / "items.parquet", [tmp_path / "changed.parquet", pieces[1]], wanted, tmp_path / "not")


def test_more_samples_ask_only_for_the_further_ones(items: Path, tiny_model: Path, tmp_path: Path) -> None:
    journal = str(tmp_path / "journal")
    first = evaluate(items, str(tiny_model), "m", config(samples=2), tmp_path / "a.parquet", journal)
    assert (first["asked"], first["resumed"]) == (24, 0)
    second = evaluate(
        items, str(tiny_model), "m", config(samples=3, permute_options=True), tmp_path / "b.parquet", journal
    )
    assert (second["resumed"], second["asked"]) == (24, 12 + 9 * 3)
    kept = Journal(journal, json.loads(_line(journal))["key"]).read()
    assert {"item q0 (plain)", "item q0 (plain, sample 2)"} <= set(kept)
    evaluate(items, str(tiny_model), "m", config(samples=3, permute_options=True), tmp_path / "c.parquet")
    assert read_rows(tmp_path / "b.parquet") == read_rows(tmp_path / "c.parquet")


def _line(journal: str) -> str:
    part = next(Path(journal).rglob("*.jsonl"))
    return part.read_text(encoding="utf-8").splitlines()[0].partition(" ")[2]


def test_the_command_takes_samples_and_orders(items: Path, tiny_model: Path, tmp_path: Path) -> None:
    given = ["--model", str(tiny_model), "--items", str(items), "--out", str(tmp_path / "out"), "--name", "tiny"]
    given += ["--engine", "transformers", "--settings", "plain", "--set", "samples=4", "--set", "temperature=0.7"]
    given += ["--set", "permute_options=true", "--set", "max_new_tokens=3"]
    done = CliRunner().invoke(evaluate_command, given, catch_exceptions=False)
    assert done.exit_code == 0
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    (record,) = scores["samples"]
    assert (record["setting"], record["k"], record["n"]) == ("plain", 4, 6)
    assert scores["schema_version"] == 1
