"""The training mix: nothing of a benchmark in it, no group in both sets, and a limit that stops the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from components.errors import StageError
from components.extraction import extract
from components.platform.tables import read_items, read_rows, write_items
from components.questions.items import Item, group_of
from components.stages import curate as stage
from components.stages.curate import CurateConfig, curate
from pipelines.cli.questions import curate_command

PLACES = ("heart", "lung", "liver", "kidney", "spleen", "colon", "brain", "skin")
SIGNS = ("pain on exertion", "a slow swelling", "sudden bleeding", "a loss of function", "night fever", "numbness")
DRUGS = ("Aspirin", "Heparin", "Digoxin", "Insulin", "Lithium", "Quinine", "Atropine", "Morphine", "Warfarin", "Zinc")


def training_item(number: int, **changes: Any) -> Item:
    place, sign = PLACES[number % 8], SIGNS[number // 8 % 6]
    options = {letter: f"{DRUGS[(number + i * 3) % 10]} for {place} {number}" for i, letter in enumerate("ABCD")}
    item = Item(
        f"t{number}",
        f"Patient number {number} has {sign} of the {place} since week {number}. What is given for it?",
        options,
        "ABCD"[number % 4],
        "made up",
        reasoning=f"The {place} shows {sign}. That rules out three of the four drugs.",
    )
    return item.with_(**changes)


QUESTIONS = [
    Item(
        f"b{n}",
        f"A {20 + n}-year-old baker with asthma number {n} wheezes at work on {day}. What does the flour bind to?",
        {"A": f"Immunoglobulin E on mast cells {n}", "B": f"Complement {n}", "C": f"Albumin {n}"},
        "A",
        "medqa",
    )
    for n, day in enumerate(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"))
]


class Scores:
    """Stands in for the classifier, whose own tests are elsewhere: items with an even number are reasoning-heavy."""

    threshold = 0.5

    @staticmethod
    def score(rows: list[Item], *_: Any) -> tuple[list[float], list[bool]]:
        found = [0.9 if int(item.id.strip("tcopydunl-")) % 2 == 0 else 0.2 for item in rows]
        return found, [False] * len(rows)


@pytest.fixture(autouse=True)
def _scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.ReasoningClassifier, "open", classmethod(lambda cls, folder: Scores))


def run(
    tmp_path: Path, train: list[Item], **changes: Any
) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    write_items(train, tmp_path / "train.parquet")
    write_items(QUESTIONS, tmp_path / "items.parquet")
    config = CurateConfig(**{"sft_size": 12, "rl_size": 8, **changes})
    out = tmp_path / "out"
    evidence = curate(tmp_path / "train.parquet", tmp_path / "items.parquet", tmp_path, config, out)
    json.dumps(evidence, allow_nan=False)
    return evidence, read_rows(out / "sft.parquet"), read_rows(out / "rl.parquet")


TRAIN = [training_item(n) for n in range(48)]


def test_the_sets_have_the_asked_sizes_and_share_no_group(tmp_path: Path) -> None:
    evidence, sft, rl = run(tmp_path, TRAIN)
    assert len({row["id"] for row in sft}) == 12 and len(rl) == 8
    assert not {row["group_id"] for row in sft} & {row["group_id"] for row in rl}
    assert evidence["sets"]["sft"]["reasoning_heavy_share"] == evidence["sets"]["rl"]["reasoning_heavy_share"] == 1.0
    assert evidence["metrics"]["sft_rows"] == len(sft) == 18, "a third of the rows begin wrong"
    assert sum(row["kind"] == "corrected" for row in sft) == 6
    assert sum(bool(row["opening"]) for row in rl) == 4


def test_rows_carry_what_the_trainers_need(tmp_path: Path) -> None:
    _, sft, rl = run(tmp_path, TRAIN)
    by_id = {item.id: item for item in TRAIN}
    for row in sft:
        assert set(row) == {"id", "group_id", "prompt", "opening", "completion", "letter", "kind"}
        assert row["completion"].endswith(f"The answer is {by_id[row['id']].answer_idx}.")
        assert bool(row["opening"]) == (row["kind"] == "corrected")
        assert extract(row["completion"], by_id[row["id"]].options) == row["letter"]
    for row in rl:
        assert set(row) == {"id", "group_id", "question", "options", "answer_idx", "opening", "prompt"}
        assert json.loads(row["options"]) == by_id[row["id"]].options
        assert json.loads(row["prompt"])[0]["role"] == "user"


def test_copies_of_a_benchmark_are_removed_and_listed_without_their_text(tmp_path: Path) -> None:
    copy = QUESTIONS[3].with_(
        id="copy-60", options=dict(zip("ABC", list(QUESTIONS[3].options.values())[::-1], strict=True))
    )
    evidence, sft, rl = run(tmp_path, [*TRAIN, copy.with_(reasoning="Because.")])
    text = (tmp_path / "out" / "curation.json").read_text()
    (removed,) = json.loads(text)["removed"]
    assert (removed["id"], removed["reason"], removed["match"]) == ("copy-60", "contamination", "b3")
    assert removed["score"] > 0.9
    assert "copy-60" not in {row["id"] for row in sft + rl}
    assert evidence["contamination_rate"] == pytest.approx(1 / 49)
    assert "baker" not in text and "Patient number" not in text


def test_above_the_limit_nothing_is_written(tmp_path: Path) -> None:
    copies = [q.with_(id=f"copy-{60 + n}") for n, q in enumerate(QUESTIONS)]
    with pytest.raises(StageError, match=r"7 of 55 training items \(12.7%\).*max_contaminated_share 10.0%"):
        run(tmp_path, [*TRAIN, *copies])
    assert not (tmp_path / "out").exists()
    evidence, *_ = run(tmp_path, [*TRAIN, *copies], max_contaminated_share=0.2)
    assert evidence["counts"]["contaminated"] == 7


def test_near_duplicates_leave_one(tmp_path: Path) -> None:
    again = TRAIN[5].with_(id="dup-61", options=dict(zip("ABCD", list(TRAIN[5].options.values())[::-1], strict=True)))
    other = TRAIN[6].with_(id="dup-62", options={"A": "Rest", "B": "Exercise"}, answer_idx="A")
    evidence, *_ = run(tmp_path, [*TRAIN, again, other])
    removed = json.loads((tmp_path / "out" / "curation.json").read_text())["removed"]
    assert [(row["id"], row["reason"], row["match"]) for row in removed] == [("dup-61", "near_duplicate", "t5")]
    assert evidence["counts"]["kept"] == 49, "an equal stem with other options is another question"


def test_a_trace_that_contradicts_the_key_is_not_taught(tmp_path: Path) -> None:
    wrong = "ABCD"[(TRAIN[4].answer_idx == "A") * 1]
    bad = TRAIN[4].with_(reasoning=f"Surely so. The answer is {wrong}.")
    bare = TRAIN[8].with_(reasoning=None)
    evidence, sft, _ = run(tmp_path, [bad, bare, *TRAIN[9:]], sft_size=41, rl_size=1)
    assert not {"t4", "t8"} & {row["id"] for row in sft}
    removed = json.loads((tmp_path / "out" / "curation.json").read_text())["removed"]
    assert removed == [{"id": "t4", "reason": "trace_disagrees"}]
    assert evidence["counts"]["kept"] == 41, "it stays for the RL set"


def test_without_traces_there_is_no_sft_set(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="nothing is left for the sft set"):
        run(tmp_path, [item.with_(reasoning=None) for item in TRAIN])


def test_too_little_reasoning_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"of the sft set is reasoning-heavy, less than reasoning_share_min 90.0%"):
        run(tmp_path, TRAIN, sft_size=30, rl_size=10, reasoning_share_min=0.9)


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        run(tmp_path / name, TRAIN)
    for file in ("sft.parquet", "rl.parquet", "curation.json"):
        assert (tmp_path / "one/out" / file).read_bytes() == (tmp_path / "two/out" / file).read_bytes(), file
    run(tmp_path / "two", TRAIN, seed=1)
    assert (tmp_path / "one/out/sft.parquet").read_bytes() != (tmp_path / "two/out/sft.parquet").read_bytes()


def test_the_verb_says_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_items(TRAIN, tmp_path / "train.jsonl")
    write_items(QUESTIONS, tmp_path / "items.jsonl")
    monkeypatch.setattr("components.platform.models.local_model", Path)
    arguments = ["--train", str(tmp_path / "train.jsonl"), "--items", str(tmp_path / "items.jsonl")]
    arguments += [
        "--classifier",
        str(tmp_path),
        "--out",
        str(tmp_path / "out"),
        "--set",
        "sft_size=6",
        "--set",
        "rl_size=4",
    ]
    result = CliRunner().invoke(curate_command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "48 training items: 0 contaminated" in result.output
    assert "sft: 9 rows of 6 items, 3 with a prefill, 100% reasoning-heavy" in result.output


def test_groups_are_computed_where_an_item_has_none(tmp_path: Path) -> None:
    _, sft, _ = run(tmp_path, TRAIN)
    groups = {item.id: group_of(item) for item in read_items(tmp_path / "train.parquet")}
    assert all(row["group_id"] == groups[row["id"]] for row in sft)


def test_each_set_takes_its_own_sources(tmp_path: Path) -> None:
    """By data set and by file, whole, though they share questions; what is of neither is left alone."""
    of = [{"dataset_name": "m23k"}, {"meta": {"source_file": "biomed_r1/train-0.parquet"}}, {}]
    items = [TRAIN[n].with_(**of[n % 3]) for n in range(30)]
    shared = items[0].with_(id="t100", meta={"source_file": "x/biomed_r1-00000.jsonl"}, dataset_name="y")
    sources = {"sft": ["m23k"], "rl": ["biomed_r1"]}
    evidence, sft, rl = run(tmp_path, [*items, shared], sft_size=100, rl_size=100, sources=sources)
    assert {row["id"] for row in sft} == {f"t{n}" for n in range(0, 30, 3)}
    assert {row["id"] for row in rl} == {f"t{n}" for n in range(1, 30, 3)} | {"t100"}
    assert (evidence["counts"]["other_sources"], evidence["counts"]["in_both_sets"]) == (10, 1)
    assert evidence["counts"]["near_duplicates"] == 0, "within a set only"


def test_sources_that_cannot_be_told_apart_or_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="m23k is in both"):
        CurateConfig.model_validate({"sources": {"sft": ["m23k"], "rl": ["m23k"]}})
    with pytest.raises(StageError, match="no training item is of the sources"):
        run(tmp_path, TRAIN, sources={"sft": ["a"], "rl": ["b"]})
    sources = {"sft": ["made up"], "rl": ["other"]}
    odd = [TRAIN[n].with_(dataset_name="other") for n in range(1, 48, 2)]
    with pytest.raises(StageError, match=r"of the rl set is .* less than rl_reasoning_share_min 50.0%"):
        run(tmp_path, [*odd, *TRAIN[::2]], sources=sources, rl_reasoning_share_min=0.5)
