"""Openings by a model: what the rule refuses is asked again a bounded number of times, then a template stands in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from faulty_endpoint import endpoint

from components.engines.base import Generation, Request, Sampling
from components.errors import StageError
from components.platform.tables import read_items, write_items
from components.questions.askings import Asking
from components.questions.items import Item
from components.questions.prefills.rule import judge
from components.stages.evaluate import EvaluateConfig, make_request
from components.stages.openings import OpeningsConfig, Slot, ask, fill_with_templates, openings
from pipelines.cli.questions import openings_command

FOUR = {"A": "aspirin", "B": "heparin", "C": "warfarin", "D": "insulin"}


def item(options: dict[str, str] = FOUR, name: str = "q") -> Item:
    return Item(id=name, question="Which drug?", options=options, answer_idx="B", dataset_name="medqa")


class Script:
    """An engine that says prepared lines, the last of them for ever, and answers in reverse order."""

    name, version, prefill_mode, notes = "script", "script 1", "continued", {}  # type: ignore[var-annotated]

    def __init__(self, *lines: str, cut: bool = False) -> None:
        self.lines, self.cut, self.asked = list(lines), cut, list[Request]()

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[int, Generation]]:
        self.asked += requests
        said = [self.lines.pop(0) if len(self.lines) > 1 else self.lines[0] for _ in requests]
        for index in reversed(range(len(requests))):
            yield index, Generation(said[index], "length" if self.cut else "stop", 1, 1)

    def pick(self, requests: Sequence[Request], letters: Sequence[Sequence[str]]) -> list[str | None]:
        return [choices[0] for choices in letters]

    def close(self) -> None:
        pass


def written(engine: Script, asked: Item, attempts: int = 4) -> list[Slot]:
    draft = [Slot(asked, place) for place in range(3)]
    for attempt in range(1, attempts + 1):
        ask(engine, [draft], attempt, OpeningsConfig())
    return draft


def test_three_good_lines_are_taken_at_once_and_nothing_is_asked_again() -> None:
    engine = Script("Maybe A.", "Maybe C.", "Maybe D.")
    draft = written(engine, item())
    assert [(s.text, s.letter, s.attempt) for s in draft] == [
        ("Maybe A.", "A", 1),
        ("Maybe C.", "C", 1),
        ("Maybe D.", "D", 1),
    ]
    assert len(engine.asked) == 3


def test_a_refused_line_is_asked_again_for_an_unnamed_option_with_another_seed() -> None:
    engine = Script("Maybe A.", "Maybe A.", "It is B, heparin.", "Maybe C.", "I do not know.", "Maybe D.")
    draft = written(engine, item())
    assert [(s.letter, s.attempt) for s in draft] == [("A", 1), ("C", 2), ("D", 3)]
    assert draft[1].refused == ["names an option that another opening names"]
    assert draft[2].refused == ["names the right option", "names no option"]
    assert len({request.seed for request in engine.asked}) == len(engine.asked) == 6
    assert all("leans towards: A" not in request.messages[-1][1] for request in engine.asked[3:]), "A is taken"


def test_attempts_are_bounded_and_templates_name_what_is_left() -> None:
    engine = Script("Maybe C.", "I cannot say.")
    draft = written(engine, item(), attempts=3)
    assert len(engine.asked) == 3 + 2 + 2
    fill_with_templates(draft, seed=0)
    assert [s.attempt for s in draft] == [1, 0, 0]
    assert {judge(s.text or "", draft[0].item).letter for s in draft} == {"A", "C", "D"}


def test_options_repeat_only_where_there_are_too_few() -> None:
    draft = written(Script("Maybe A."), item({"A": "aspirin", "B": "heparin"}))
    assert [s.letter for s in draft] == ["A", "A", "A"]


def test_a_line_that_is_cut_off_is_not_used() -> None:
    draft = written(Script("Maybe A.", cut=True), item(), attempts=1)
    assert all(s.text is None and s.refused == ["cut off"] for s in draft)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("openings") / "items.parquet"
    old = item(name="old").with_(adversarial_trace_0="An older opening towards A.")
    write_items([old, item(name="q1"), item({"A": "yes", "B": "no", "C": "maybe"}, "q2")], path)
    return path


def test_the_verb_writes_items_that_evaluate_takes(few: Path, tiny_model: Path, tmp_path: Path) -> None:
    """A random model writes no sentence: nearly all openings come from templates, and the evidence says so."""
    out, evidence = tmp_path / "out.parquet", tmp_path / "evidence.json"
    arguments = ["--items", few, "--model", tiny_model, "--out", out, "--json", evidence, "--limit", 2]
    arguments += ["--set", "engine=transformers", "--set", "tries=2", "--set", "max_new_tokens=8"]
    done = CliRunner().invoke(openings_command, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0 and "from templates" in done.output
    found, items = json.loads(evidence.read_text()), read_items(out)
    assert found["openings"] == 6 == found["accepted_first"] + found["accepted_after_retries"] + found["templated"]
    assert found["texts_asked"] == sum(found["refused"].values()) + 6 - found["templated"]
    assert found["templated"] >= 4 and len(items) == 2 and found["weights_sha256"]
    for made in items:
        assert made.meta["openings"]["by"].count("template") == 3 or made.meta["trace_source"] != "template"
        assert all(judge(made.opening(k) or "", made).letter for k in range(3))
        assert all("older opening" not in (made.opening(k) or "") for k in range(3)), "they are replaced"
        assert make_request(Asking(made, "adversarial_2"), EvaluateConfig()).opening == made.opening(2)


def test_the_same_seed_gives_the_same_file(few: Path, tiny_model: Path, tmp_path: Path) -> None:
    config = OpeningsConfig(engine="transformers", dtype="float32", tries=1, max_new_tokens=8)
    for name in ("a", "b"):
        openings(few, str(tiny_model), config, tmp_path / f"{name}.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_an_item_that_no_opening_suits_stops_before_the_model_loads(tmp_path: Path) -> None:
    write_items([item({"A": "heparin and aspirin", "B": "heparin"})], tmp_path / "bad.parquet")
    arguments = ["--items", tmp_path / "bad.parquet", "--model", tmp_path / "no-model", "--out", tmp_path / "o.parquet"]
    done = CliRunner().invoke(openings_command, [str(a) for a in arguments])
    assert "every wrong option contains" in str(done.exception) and not (tmp_path / "o.parquet").exists()


def test_an_endpoint_can_write_them(tmp_path: Path) -> None:
    """A hosted model over HTTP that now and then fails; its one-line answers name a letter by the prompt's hash."""
    cases = [item(name=f"q{n}").with_(question=f"Which drug in case {n}?") for n in range(8)]
    write_items(cases, tmp_path / "items.parquet")
    with endpoint(seed=3, fault_rate=0.2, hang_seconds=0.3) as server:
        arguments = ["--items", tmp_path / "items.parquet", "--model", "openai:some-model", "--base-url", server.url]
        arguments += ["--out", tmp_path / "out.parquet", "--json", tmp_path / "e.json", "--set", "tries=3"]
        arguments += ["--set", "timeout_seconds=0.2", "--set", "backoff_seconds=0.01", "--set", "attempts=30"]
        done = CliRunner().invoke(openings_command, [str(a) for a in arguments], catch_exceptions=False)
        assert done.exit_code == 0
        texts_asked = sum(server.answered.values())
    found = json.loads((tmp_path / "e.json").read_text())
    assert found["texts_asked"] == texts_asked and found["openings"] == 24
    assert found["accepted_first"] > 4 and found["accepted_after_retries"] > 0 and found["weights_sha256"] == ""
    for made in read_items(tmp_path / "out.parquet"):
        named = [judge(made.opening(k) or "", made).letter for k in range(3)]
        assert sorted(named) == ["A", "C", "D"], "each wrong option once, whoever wrote it"
        assert made.meta["openings"]["model"] == "openai:some-model"


@pytest.mark.slow
def test_smollm_writes_openings(smollm: Path, tmp_path: Path) -> None:
    """SmolLM2-135M manages some of them, names the right option in others, and each ends accepted or templated."""
    from components.platform import sources

    questions = [read_items(path)[0] for path in sources.source_files(sources.SAMPLES, "benchmarks")][:6]
    write_items(questions, tmp_path / "items.parquet")
    config = OpeningsConfig(engine="transformers", tries=2)
    evidence = openings(tmp_path / "items.parquet", str(smollm), config, tmp_path / "out.parquet")
    assert 0 < evidence["acceptance_rate_first"] <= evidence["acceptance_rate"] <= 1
    for made in read_items(tmp_path / "out.parquet"):
        named = [judge(made.opening(k) or "", made).letter for k in range(3)]
        for k, by in enumerate(made.meta["openings"]["by"]):
            assert by == "template" or named[k] is not None
        assert len(set(named)) == min(3, len(made.wrong_letters())) or "template" in made.meta["openings"]["by"]


def test_a_spent_budget_keeps_the_texts_and_the_same_command_asks_for_the_others(tmp_path: Path) -> None:
    write_items([item(name=f"q{n}") for n in range(6)], tmp_path / "items.jsonl")
    out, command_out = tmp_path / "out.jsonl", tmp_path / "again.jsonl"
    with endpoint() as server:
        words = ["--items", str(tmp_path / "items.jsonl"), "--model", "openai:m", "--base-url", server.url]
        words += ["--set", "tries=1", "--set", "concurrency=2"]
        whole = CliRunner().invoke(openings_command, [*words, "--out", str(command_out)])
        assert whole.exit_code == 0, whole.output
        server.bodies.clear()
        first = CliRunner().invoke(openings_command, [*words, "--out", str(out), "--set", "max_requests=10"])
        assert isinstance(first.exception, StageError) and "10 of 18 are answered and kept in" in str(first.exception)
        assert len(server.bodies) == 10 and not out.exists()
        second = CliRunner().invoke(openings_command, [*words, "--out", str(out)])
        assert second.exit_code == 0 and len(server.bodies) == 18, second.output
    assert out.read_text() == command_out.read_text()
    assert not Path(f"{out}.journal").exists()
