"""How many questions there are, and that each benchmark has its own shape."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from components import samples
from components.questions.items import BENCHMARKS, Item, group_of, normalise

# Numbers of options that a benchmark may have; MMLU-Pro and HLE vary from question to question.
OPTIONS = {
    "MedXpertQA": {10},
    "medqa": {4},
    "medmcqa": {4},
    "pubmedqa": {3},
    "mmlu_health_biology": set(range(3, 11)),
    "medbullets_op4": {4},
    "medbullets_op5": {5},
    "hle_biomed": set(range(4, 23)),
    "GPQA_Medical_test": {4},
    "Lancet": {4},
    "NEJM": {4},
}


def test_all_eleven_benchmarks_are_there(benchmarks: dict[str, list[Item]], questions: list[Item]) -> None:
    assert set(benchmarks) == set(BENCHMARKS) == set(OPTIONS)
    assert min(map(len, benchmarks.values())) >= 20
    assert len(questions) >= 240


def test_there_is_enough_to_train_on(training: list[Item]) -> None:
    assert len(training) >= 120
    assert {item.dataset_name for item in training} == {"biomed_r1_samples"}


def test_every_item_is_complete(benchmarks: dict[str, list[Item]], training: list[Item]) -> None:
    ids = Counter(item.id for items in (*benchmarks.values(), training) for item in items)
    assert max(ids.values()) == 1
    for name, items in (*benchmarks.items(), ("biomed_r1_samples", training)):
        for item in items:
            assert item.dataset_name == name, item.id
            assert item.question_type in ("Reasoning", "Understanding"), item.id
            assert item.answer == item.options[item.answer_idx], item.id
            assert item.meta["source_note"], item.id
            assert list(item.options) == [chr(ord("A") + i) for i in range(len(item.options))], item.id


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_number_of_options_is_the_benchmarks(name: str, benchmarks: dict[str, list[Item]]) -> None:
    assert {len(item.options) for item in benchmarks[name]} <= OPTIONS[name]


def test_some_hle_questions_have_many_options(benchmarks: dict[str, list[Item]]) -> None:
    assert sum(len(item.options) >= 11 for item in benchmarks["hle_biomed"]) >= 4
    assert max(len(item.options) for item in benchmarks["hle_biomed"]) == 22


def test_pubmedqa_has_contexts_and_no_other_benchmark_does(benchmarks: dict[str, list[Item]]) -> None:
    for name, items in benchmarks.items():
        assert {bool(item.context) for item in items} == {name == "pubmedqa"}
    assert all(list(item.options.values()) == ["yes", "no", "maybe"] for item in benchmarks["pubmedqa"])


def test_medbullets_op5_is_op4_with_one_option_more(benchmarks: dict[str, list[Item]]) -> None:
    five = {group_of(item): item for item in benchmarks["medbullets_op5"]}
    assert len(five) == len(benchmarks["medbullets_op4"])
    for item in benchmarks["medbullets_op4"]:
        other = five[group_of(item)]
        assert other.answer == item.answer and other.question_type == item.question_type
        assert len(set(other.options.values()) - set(item.options.values())) == 1
        assert set(item.options.values()) < set(other.options.values())


def test_gpqa_repeats_some_rows_and_nothing_else_is_repeated(benchmarks: dict[str, list[Item]]) -> None:
    for name, items in benchmarks.items():
        groups = Counter(map(group_of, items))
        assert (max(groups.values()) > 1) == (name == "GPQA_Medical_test"), name
    repeated = Counter(map(group_of, benchmarks["GPQA_Medical_test"]))
    assert len(repeated) >= 20 and max(repeated.values()) == 3


def test_awkward_text_of_real_data_occurs(questions: list[Item]) -> None:
    texts = [" ".join([i.question, i.context or "", *i.options.values()]) for i in questions]
    for pattern in (
        r"&[a-z]+;",
        r"<sup>",
        r"°C",
        r"mm³|/mm³",
        r"[α-ω]|&(alpha|beta|gamma|delta);",
        r"µ|&(mu|micro);",
        r"\|---\|",
    ):
        assert any(re.search(pattern, text) for text in texts), pattern
    assert max(len(item.question.split()) for item in questions) > 450


def test_traces_reason_and_end_in_the_answer(training: list[Item]) -> None:
    for item in training:
        trace = item.reasoning or ""
        assert trace.endswith(f" The answer is {item.answer_idx}."), item.id
        assert trace.count("The answer is") == 1 and len(trace.split()) >= 25, item.id
        assert len(re.findall(r"[.!?](?:\s|$)", trace)) >= 3, f"{item.id}: fewer than two steps before the answer"


def test_no_question_is_in_both_sets(questions: list[Item], training: list[Item]) -> None:
    ours = {normalise(item.question) for item in questions}
    assert len({normalise(item.question) for item in training} - ours) == len(training)


def test_the_files_are_found_through_the_package() -> None:
    assert len(list(samples.path("benchmarks").glob("*.jsonl"))) == len(BENCHMARKS)
    assert (samples.path("train").parent / "README.md").is_file()
