"""Training examples: what is learnt ends in the right answer, and what begins wrong is taken back."""

from __future__ import annotations

import json

import pytest

from components.extraction import extract
from components.questions import training_mix as mix
from components.questions.items import Item, group_of, normalise
from components.questions.prefills.templates import TEMPLATES, template_half

OPTIONS = {"A": "Iron tablets", "B": "Vitamin B12 injections", "C": "Transfusion", "D": "Folic acid"}
TRACE = "The cells are large and the reflexes are lost. A strict vegan diet lacks cobalamin. So B12 it is."


def item(number: int = 1, **changes: object) -> Item:
    question = f"A vegan of {20 + number} years is pale and unsteady. What is given?"
    return Item(f"t{number}", question, OPTIONS, "B", "made up", reasoning=TRACE).with_(**changes)


@pytest.mark.parametrize(
    "ending",
    ["", " The answer is B.", "\nAnswer: (B)", " Therefore, the final answer is: B", "\n\nThe correct answer is (B)."],
)
def test_the_declared_answer_is_written_once_and_last(ending: str) -> None:
    text = mix.completion(item(reasoning=TRACE + ending))
    assert text == f"{TRACE}\n\nThe answer is B."


def test_words_that_only_look_like_an_answer_line_stay() -> None:
    trace = "Two answers are near. The answer is B12, which he lacks."
    assert trace in mix.completion(item(reasoning=trace))


@pytest.mark.parametrize(
    ("trace", "problem"),
    [
        (TRACE, None),
        (None, "no_trace"),
        ("  ", "no_trace"),
        (TRACE + " The answer is C.", "disagrees"),
        (TRACE * 10, "too_long"),
    ],
)
def test_a_trace_that_cannot_be_learnt_from_is_named(trace: str | None, problem: str | None) -> None:
    assert mix.trace_problem(item(reasoning=trace), max_characters=500) == problem


def test_a_plain_example_has_nothing_before_the_completion() -> None:
    row = mix.plain_example(item(), "stepwise")
    assert row["opening"] == "" and row["kind"] == "plain" and row["letter"] == "B"
    assert json.loads(row["prompt"])[0]["role"] == "user"
    assert OPTIONS["C"] in row["prompt"]


def test_a_corrected_example_begins_wrong_and_ends_right() -> None:
    training = [t for t in TEMPLATES if template_half(t) == "training"]
    for number in range(40):
        row = mix.corrected_example(item(number), "direct", seed=3)
        assert row is not None
        assert normalise(OPTIONS["B"]) not in normalise(row["opening"])
        named = [x for x in "ACD" if OPTIONS[x] in row["opening"]]
        assert len(named) == 1
        assert any(row["opening"] == t.replace("{L}", named[0]).replace("{T}", OPTIONS[named[0]]) for t in training)
        assert row["completion"].startswith(" "), "it continues the opening's line"
        assert not any(f" {x} " in row["completion"].split(".")[0] for x in "ABCD" if x != named[0])
        assert TRACE in row["completion"]
        assert extract(row["completion"], OPTIONS) == "B"
        # The rule must not read the correction as an answer either: a model that stops there has answered nothing.
        assert extract(row["completion"].split(TRACE)[0], OPTIONS) is None


def test_no_usable_wrong_opening_gives_no_corrected_example() -> None:
    two = {"A": "fever", "B": "no fever"}
    assert mix.corrected_example(item(options=two, answer_idx="A"), "direct", seed=0) is None
    assert mix.rl_example(item(options=two, answer_idx="A"), "direct", seed=0, adversarial=True)["opening"] == ""


def test_every_correction_is_taken_back_without_giving_an_answer() -> None:
    for text in mix.CORRECTIONS:
        assert extract(text.replace("{W}", "C"), OPTIONS) is None, text


def test_examples_depend_on_item_and_seed_only() -> None:
    assert mix.corrected_example(item(), "direct", 1) == mix.corrected_example(item(), "direct", 1)
    openings = {mix.wrong_opening(item(), seed)[0] for seed in range(8)}
    assert len(openings) > 3


def test_a_larger_share_only_adds() -> None:
    items = [item(n) for n in range(50)]
    small, large = mix.take_share(items, 0.2, 7), mix.take_share(items, 0.5, 7)
    assert len(small) == 10 and len(large) == 25 and small < large


def chosen(items: list[Item], prob: dict[str, float], sft: int, rl: int) -> tuple[list[Item], list[Item]]:
    usable = {i.id for i in items if i.reasoning}
    return mix.choose(items, usable, prob, 0.5, sft, rl, seed=1)


def test_sets_share_no_group_and_prefer_reasoning() -> None:
    items = [item(n, reasoning=TRACE if n % 2 else None) for n in range(100)]
    copies = [i.with_(id=f"{i.id}#2", options={**OPTIONS, "A": "Zinc"}) for i in items[:50]]
    every = items + copies
    prob = {i.id: (0.9 if int(i.id[1:].split("#")[0]) % 5 < 3 else 0.1) for i in every}  # 60 of 100 groups
    sft, rl = chosen(every, prob, 20, 30)
    assert len(sft) == 20 and len(rl) == 30
    assert all(i.reasoning for i in sft)
    assert not {group_of(i) for i in sft} & {group_of(i) for i in rl}
    assert len({group_of(i) for i in rl}) == 30
    assert all(prob[i.id] > 0.5 for i in sft + rl)


def test_above_the_line_the_seed_decides_and_not_the_probability() -> None:
    items = [item(number) for number in range(20)]
    equal = dict.fromkeys((one.id for one in items), 0.6)
    rising = {one.id: 0.6 + number / 100 for number, one in enumerate(items)}
    picked = [[one.id for one in mix.pick(items, None, prob, 0.5, 10, seed=1)] for prob in (equal, rising)]
    assert picked[0] == picked[1]


def test_the_less_likely_fill_up_where_reasoning_runs_out() -> None:
    items = [item(n) for n in range(40)]
    prob = {i.id: 0.9 if n < 10 else 0.4 - n / 200 for n, i in enumerate(items)}
    sft, rl = chosen(items, prob, 15, 10)
    assert {i.id for i in sft + rl} == {f"t{n}" for n in range(25)}, "the 10 heavy ones and the 15 next"
    assert 0 < sum(prob[i.id] > 0.5 for i in rl) < 10, "both sets get some of the heavy ones"


@pytest.mark.parametrize(("items", "sft", "rl", "expected"), [(30, 40, 20, (20, 10)), (30, 20, 100, (5, 25))])
def test_too_few_items_shrink_both_sets(items: int, sft: int, rl: int, expected: tuple[int, int]) -> None:
    rows = [item(n) for n in range(items)]
    got = chosen(rows, {i.id: 0.9 for i in rows}, sft, rl)
    assert tuple(map(len, got)) == expected


def test_few_traces_leave_the_rest_to_the_rl_set() -> None:
    rows = [item(n, reasoning=TRACE if n < 4 else None) for n in range(30)]
    sft, rl = chosen(rows, {i.id: 0.9 for i in rows}, 20, 20)
    assert len(sft) == 4 and len(rl) == 20
