"""Shapes of question sets: each gives the same Items as Item's own form, and rubbish is refused in words."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from components.errors import InputError
from components.questions.items import Item, item_row, parse_item
from components.questions.shapes import canonical, described, parse_mapping, survey

Row = dict[str, Any]
LETTERS = string.ascii_uppercase


def read(rows: list[Row], mapping: str = "", stem: str = "own") -> list[Item]:
    about = survey(rows, stem, parse_mapping(mapping), "f.csv")
    return [
        parse_item(canonical(row, n, about, f"f.csv: row {n}"), f"f.csv: row {n}")
        for n, row in enumerate(rows, start=1)
    ]


# How each shape writes an Item. `first` is where indexes count from.
def columns(before: str, key: str, first: int | None) -> Callable[[Item], Row]:
    def write(item: Item) -> Row:
        named = {f"{before}{letter}": text for letter, text in item.options.items()}
        place = list(item.options).index(item.answer_idx)
        return {"question": item.question, **named, key: item.answer_idx if first is None else place + first}

    return write


def lower(row: Row) -> Row:
    return {name.lower(): value for name, value in row.items()}


def place(item: Item) -> int:
    return list(item.options).index(item.answer_idx)


def texts(item: Item) -> list[str]:
    return list(item.options.values())


def pairs(item: Item, label: str, text: str) -> list[Row]:
    return [{label: letter, text: words} for letter, words in item.options.items()]


def lists(item: Item) -> Row:
    return {"label": list(item.options), "text": texts(item)}


def headqa(item: Item) -> Row:
    answers = [{"aid": n, "atext": text} for n, text in enumerate(texts(item), start=1)]
    return {"qid": "7", "qtext": item.question, "ra": str(place(item) + 1), "answers": answers}


SHAPES: dict[str, Callable[[Item], Row]] = {
    "MedMCQA's files": lambda i: lower(columns("op", "cop", 1)(i)),
    "MedMCQA on the hub": lambda i: lower(columns("op", "cop", 0)(i)),
    "option_A": columns("option_", "answer", None),
    "Option A": columns("Option ", "Correct Answer", None),
    "A, B, C": columns("", "answer", None),
    "MMLU": lambda i: {"question": i.question, "choices": texts(i), "answer": place(i)},
    "choices and a letter": lambda i: {"question": i.question, "choices": texts(i), "answer": i.answer_idx},
    "choices, a key from 1": lambda i: {"question": i.question, "choices": texts(i), "answer": place(i) + 1},
    "MMLU-Pro": lambda i: {
        **{"question_id": 70, "question": i.question, "options": texts(i)},
        **{"answer": i.answer_idx, "answer_index": place(i), "cot_content": ""},
    },
    "key and value": lambda i: {
        "question": i.question,
        "options": pairs(i, "key", "value"),
        "answer_idx": i.answer_idx,
    },
    "ARC": lambda i: {
        "question": {"stem": i.question, "choices": pairs(i, "label", "text")},
        "answerKey": i.answer_idx,
    },
    "two lists": lambda i: {"question": i.question, "choices": lists(i), "answerKey": i.answer_idx},
    "USMLE": lambda i: {
        **{"question": i.question, "answer": i.options[i.answer_idx], "options": i.options},
        **{"meta_info": "step1", "answer_idx": i.answer_idx},
    },
    "HEAD-QA": headqa,
    "openlifescienceai": lambda i: {
        "subject_name": "x",
        "data": {"Question": i.question, "Options": i.options, "Correct Option": i.answer_idx},
    },
    "JSON in a cell": lambda i: {"question": i.question, "options": json.dumps(texts(i)), "answer": i.answer_idx},
    "Python in a cell": lambda i: {"question": i.question, "options": repr(i.options), "answer_idx": i.answer_idx},
    "option1": lambda i: {
        **{"question": i.question, "answer_options": {f"option{n + 1}": text for n, text in enumerate(texts(i))}},
        **{"correct_answer": f"option{place(i) + 1}"},
    },
    "the key as text": lambda i: {"question": i.question, "choices": texts(i), "answer": i.options[i.answer_idx]},
}

COUNT_FROM_1 = ("MedMCQA's files", "choices, a key from 1")

# Words that are no letter, label or number, which a key could mean too: those have tests of their own.
WORDS = st.builds(
    "{} {}".format, st.text("abcAB12 .,;:'\"äß→λ+−%{[", max_size=8), st.sampled_from(["mg", "node", "E. coli"])
)


@st.composite
def sets(draw: Any) -> list[Item]:
    """Items whose keys show where indexes count from: the first and the last option are right somewhere."""
    made = []
    for n in range(draw(st.integers(2, 4))):
        options = dict(
            zip(LETTERS, draw(st.lists(WORDS.map(str.strip), min_size=2, max_size=6, unique=True)), strict=False)
        )
        key = {0: next(iter(options)), 1: list(options)[-1]}.get(n) or draw(st.sampled_from(list(options)))
        made.append(Item(f"own-{n + 1}", draw(WORDS), options, key, "own", answer=options[key]))
    return made


@settings(max_examples=60, deadline=None, phases=[Phase.generate])
@given(items=sets())
def test_every_shape_gives_the_same_items(items: list[Item]) -> None:
    for shape, write in SHAPES.items():
        asked = items[1:] if shape in COUNT_FROM_1 else items  # the first item's key is the first option
        rows = [write(item) for item in asked]
        got = [(i.question, i.options, i.answer_idx, i.answer, i.dataset_name) for i in read(rows)]
        assert got == [(i.question, i.options, i.answer_idx, i.answer, "own") for i in asked], shape
        # What a receipt says is a mapping that reads the same.
        said = described(rows[0], survey(rows, "own", {}, "f"))
        assert [(i.question, i.answer_idx) for i in read(rows, said)] == [(i.question, i.answer_idx) for i in asked]


def pubmed(**changes: Any) -> Row:
    row = {"QUESTION": "Does it work?", "CONTEXTS": ["Some were asked.", "It did."], "LABELS": ["METHODS", "RESULTS"]}
    return {**row, "final_decision": "no", "LONG_ANSWER": "It does not.", **changes}


def test_pubmedqa() -> None:
    (item,) = read([{"id": "123", **pubmed()}])
    assert (item.id, item.question, item.context) == ("123", "Does it work?", "Some were asked.\nIt did.")
    assert (item.options, item.answer_idx) == ({"A": "yes", "B": "no", "C": "maybe"}, "B")
    assert item.meta == {"LABELS": ["METHODS", "RESULTS"], "LONG_ANSWER": "It does not."}
    hub = {"pubid": 5, "question": "Does it work?", "context": {"contexts": ["It did."], "labels": ["RESULTS"]}}
    (item,) = read([{**hub, "long_answer": "No.", "final_decision": "maybe"}])
    assert (item.id, item.context, item.answer_idx) == ("5", "It did.", "C")


def cop(*keys: Any) -> list[Row]:
    return [{"question": "Which?", "opa": "w", "opb": "x", "opc": "y", "opd": "z", "cop": key} for key in keys]


def test_where_indexes_count_from_is_told_by_the_whole_file() -> None:
    assert [i.answer_idx for i in read(cop(2, 0, 3))] == ["C", "A", "D"]
    assert [i.answer_idx for i in read(cop(2, "4", 1.0))] == ["B", "D", "A"]
    assert [i.answer_idx for i in read(cop(1, 2), "index_base=1")] == ["A", "B"]
    assert described(cop(2)[0], survey(cop(2, 4), "own", {}, "f")) == (
        "question=question,options=opa+opb+opc+opd,answer_idx=cop,index_base=1"
    )
    with pytest.raises(InputError, match=r"f\.csv: row 1: cop: may count from 0 or from 1, .*--map index_base=0 or"):
        read(cop(1, 2, 3))
    with pytest.raises(InputError, match=r"cop: counts from 0 in row 2 and from 1 in row 3 of this file"):
        read(cop(1, 0, 4))
    with pytest.raises(
        InputError, match=r"row 2: cop: -1 is no index of 4 options that count from 0; .*cannot be marked"
    ):
        read(cop(0, -1))


def choices(answer: Any, *options: Any) -> list[Row]:
    return [{"question": "Which?", "choices": list(options), "answer": answer}]


def test_a_key_with_two_readings_is_refused() -> None:
    assert read(choices("B", "A", "B", "AB", "O"))[0].answer_idx == "B"
    assert read(choices("O", "A", "B", "AB", "O"))[0].answer_idx == "D"
    with pytest.raises(InputError, match="answer: 'B' may be the label or the text of an option, which are two"):
        read(choices("B", "O", "A", "B", "AB"))
    assert read(choices(1, "1", "2", "3"))[0].answer_idx == "B"
    with pytest.raises(InputError, match=r"answer: '2' may be the text or the index of an option, .*index_base=0"):
        read(choices("2", "1", "2", "3"))
    assert read(choices("50", "25", "50", "75"))[0].answer_idx == "B"  # no index of three
    assert read(choices("2", "1", "2", "3"), "index_base=0")[0].answer_idx == "C"
    with pytest.raises(InputError, match=r"answer: 'none' is no letter, label or text of the 2 options"):
        read(choices("none", "x", "y"))
    for several in (["A", "B"], True, None):
        with pytest.raises(InputError, match="answer"):
            read(choices(several, "x", "y"))
    assert read(choices(["B"], "x", "y"))[0].answer_idx == "B"


def test_the_files_other_keys_tell_what_a_key_is() -> None:
    doubtful = [*choices("B", "O", "A", "B", "AB"), *choices("2", "1", "2", "3")]
    assert [i.answer_idx for i in read([*doubtful[:1], *choices("A", "x", "y")])] == ["B", "A"]
    assert [i.answer_idx for i in read([*doubtful, *choices("y", "x", "y")])] == ["C", "B", "B"]
    assert [i.answer_idx for i in read([*doubtful[1:], *choices("0", "x", "y")])] == ["C", "A"]
    with pytest.raises(InputError, match="may be the label or the text"):
        read([*doubtful[:1], *choices("A", "x", "y"), *choices("y", "x", "y")])


def test_two_keys_that_differ_are_refused_with_both() -> None:
    row = {"question": "Which?", "options": ["w", "x", "y"], "answer": "C", "answer_index": 1}
    with pytest.raises(InputError, match=r"answer: 'C' is option C, but answer_index is '1', option B"):
        read([row])
    row = {"question": "Which?", "options": {"A": "w", "B": "x"}, "answer": "w", "answer_idx": "B"}
    with pytest.raises(InputError, match=r"answer: 'w' is option A, but answer_idx is 'B'"):
        read([row])


def test_what_is_missing_is_named() -> None:
    for change, told in (
        ({"choices": None}, "options: missing; the columns are answer, choices, question"),
        ({"question": None}, "question: missing"),
        ({"choices": [["x"], "y"]}, "options: A must be text, not list"),
        ({"choices": ["x", None]}, "options: holds 1; a question needs 2 to 26"),
        ({"choices": [{"words": "x", "right": True}] * 2}, "choices: an option is none of {key, value}"),
        ({"choices": "[1,"}, "choices: not JSON"),
    ):
        with pytest.raises(InputError, match=r"^f\.csv: row 1: ") as caught:
            read([{**choices("A", "x", "y")[0], **change}])
        assert told in str(caught.value)


def test_options_that_are_empty_at_the_end_are_left_out() -> None:
    for empty in (None, float("nan")):
        (item,) = read([{"question": "Which?", "A": "x", "B": "y", "C": empty, "answer": "B"}])
        assert (item.options, item.answer_idx) == ({"A": "x", "B": "y"}, "B")


def test_a_mapping_names_what_no_shape_does() -> None:
    row = {"Frage": "Which?", "erste": "x", "zweite": "y", "Nr": 2, "inner": {"set": "kurs"}, "kürzel": "k1"}
    names = "question=Frage, options=erste+zweite, answer_idx=Nr, index_base=1, dataset_name=inner.set, id=kürzel"
    (item,) = read([row], names)
    assert (item.id, item.question, item.answer_idx, item.dataset_name) == ("k1", "Which?", "B", "kurs")
    assert item.options == {"A": "x", "B": "y"}
    with pytest.raises(InputError, match=r"f\.csv: Antwort: no column for --map; there are .*erste"):
        read([row], names.replace("Nr", "Antwort"))


def test_a_mapping_of_another_source_leaves_items_alone() -> None:
    row = {"id": "q", "question": "Which?", "options": {"A": "x", "B": "y"}, "answer_idx": "B", "dataset_name": "d"}
    assert read([row], "question=Frage,answer_idx=Nr")[0].answer_idx == "B"


@pytest.mark.parametrize(
    ("text", "told"),
    [("question", "write FIELD=COLUMN"), ("x=y", "x is none of"), ("id=a,id=b", "twice"), ("index_base=2", "0 or 1")],
)
def test_a_mapping_that_is_none(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        parse_mapping(text)


RUBBISH = (
    *(None, True, -1, 0, 1, 2, 7, 10**400, 0.5, float("nan"), float("inf"), "", " ", "A", "b", "1", "(C)", "yes", "x"),
    *("[", "{}", "[]", "null", "\x00", "{'A': 1}", '{"A": "x", "B": "y"}', "[[[[", "\u200b", b"x", [], {}, [None]),
    *(["x", "y"], ["x", ["y"]], {"A": "x", "B": "y"}, {"label": ["A"], "text": []}, [{"key": 1, "value": 2}], [[1], 2]),
    *({"stem": "s", "choices": {"a": 1, "b": 2}}, {"contexts": ["p"]}, {"A": {"B": {"C": []}}}),
)


def test_ten_thousand_rows_of_rubbish_are_refused_in_words() -> None:
    rng = random.Random(0)
    rows = [write(Item("i", "Which one?", {"A": "w", "B": "x", "C": "y"}, "B", "d")) for write in SHAPES.values()]
    rows += [pubmed(), *cop(2)]
    names = sorted({name for row in rows for name in row} | {"id", "dataset_name", "meta", "context", "", "options"})
    fuzzed: list[Row] = []
    for _ in range(10_000):
        row = dict(rng.choice(rows))
        for _ in range(rng.randrange(1, 4)):
            row[rng.choice(names)] = rng.choice(RUBBISH)
        for name in rng.sample(sorted(row), min(len(row), rng.randrange(2))):
            del row[name]
        fuzzed.append(row)
    good = 0
    for start in range(0, len(fuzzed), 5):  # files of five rows
        about = survey(fuzzed[start : start + 5], "f", {}, "f")
        for number, row in enumerate(fuzzed[start : start + 5], start=1):
            try:
                item = parse_item(canonical(row, number, about, f"f: row {number}"), f"f: row {number}")
            except InputError as error:
                assert f"f: row {number}: " in str(error)
                continue
            assert parse_item(item_row(item), "again").options == item.options
            parse_mapping(described(row, about))
            good += 1
    assert 1000 < good < 9000


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["question", "opa", "opb", "cop", "choices", "answer", "data", "id"]), VALUES))
def test_no_row_is_a_traceback(row: Row) -> None:
    try:
        about = survey([row], "f", {}, "f")
        parse_item(canonical(row, 1, about, "f"), "f")
    except InputError:
        pass
