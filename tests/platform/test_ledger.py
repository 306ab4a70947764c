"""The ledger of decisions on a real S3 server and on a folder: nothing lowers a look, and no two writers share one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.errors import DamagedError, InputError
from components.platform.storage import ledger, objects
from components.platform.storage.ledger import Challenge, reserve
from components.questions.items import Item
from components.questions.seal import Seal, open_items, question_marks

TERMS = {"alpha": 0.05, "margin": 0.03, "schedule": "harmonic"}
FIRST = Challenge("biomed-r1", "b" * 64, "1" * 64, "c" * 64, ("q1", "q2", "q3"), "a" * 64, TERMS)


@pytest.fixture(params=["s3", "local"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.getfixturevalue("store_uri") if request.param == "s3" else tmp_path)


def items(probability: float = 0.4, text: str = "Which?") -> list[Item]:
    options = {"A": "one", "B": "two"}
    made = [Item(str(k), f"{text} {k}", options, "A", "medqa", reasoning_prob=probability) for k in range(300)]
    return made


def test_looks_count_up_and_the_same_answers_keep_their_place(root: str) -> None:
    second = replace(FIRST, candidate="d" * 64)
    found = [reserve(root, each) for each in (FIRST, FIRST, second, FIRST, second)]
    assert [place.look for place in found] == [1, 1, 2, 1, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"candidate": "d" * 64},  # another candidate
        {"answers": "e" * 64},  # the same candidate asked again: another seed, other decoding
        {"name": "another-name"},  # the same challenge under another registered name is the same decision
    ],
)
def test_what_a_new_look_is(root: str, change: dict[str, str]) -> None:
    reserve(root, FIRST)
    assert reserve(root, replace(FIRST, **change)).look == (1 if "name" in change else 2)


def test_another_name_does_not_start_again(root: str) -> None:
    reserve(root, FIRST)
    assert reserve(root, replace(FIRST, name="another-name", candidate="d" * 64)).look == 2


@pytest.mark.parametrize(
    ("change", "look"),
    [
        ({"questions": ("q3", "q4")}, 2),  # a subset, or one with others
        ({"questions": ("q4", "q5")}, 1),  # other questions
        ({"baseline": "f" * 64}, 2),  # other weights that answer the very same: the baseline saved again
        ({"baseline": "f" * 64, "baseline_answers": "2" * 64}, 1),  # another baseline
        ({"baseline_answers": "2" * 64}, 2),  # the baseline asked again
        ({"draw": 1}, 1),  # the seal was rotated
    ],
)
def test_what_shares_a_count(root: str, change: dict[str, Any], look: int) -> None:
    reserve(root, FIRST)
    assert reserve(root, replace(FIRST, candidate="d" * 64, answers="e" * 64, **change)).look == look


def test_a_set_around_two_others_comes_after_both(root: str) -> None:
    for k in range(3):
        reserve(root, replace(FIRST, questions=("q1",), candidate=f"{k}"))
    assert reserve(root, replace(FIRST, questions=("q2",), candidate="3")).look == 1
    assert reserve(root, replace(FIRST, candidate="4")).look == 5


def test_a_decision_is_held_with_its_look_and_its_rules(root: str) -> None:
    reserve(root, FIRST)
    rules = {"alpha": 0.05, "margin": 0.03}
    assert ledger.holds(root, FIRST.baseline, FIRST.candidate, 1, rules)
    assert not ledger.holds(root, FIRST.baseline, FIRST.candidate, 2, rules)
    assert not ledger.holds(root, FIRST.baseline, FIRST.candidate, 1, {**rules, "alpha": 0.2})
    assert not ledger.holds(root, FIRST.baseline, "d" * 64, 1, rules)


def test_other_terms_on_a_used_key_are_refused(root: str) -> None:
    reserve(root, FIRST)
    with pytest.raises(InputError, match=r"alpha 0\.05 \(now 0\.2\)"):
        reserve(root, replace(FIRST, candidate="d" * 64, terms={**TERMS, "alpha": 0.2}))
    other = replace(FIRST, baseline="f" * 64, baseline_answers="2" * 64, terms={**TERMS, "alpha": 0.2})
    assert reserve(root, other).look == 1


def test_a_deleted_entry_is_noticed(root: str) -> None:
    reserve(root, FIRST)
    reserve(root, replace(FIRST, candidate="d" * 64))
    objects.delete(f"{root}/ledger/000001.json")
    with pytest.raises(DamagedError, match="decision 1 is missing"):
        reserve(root, replace(FIRST, candidate="e" * 64))


def test_twenty_processes_reserve_twenty_looks(root: str) -> None:
    script = (
        "import sys; from components.platform.storage.ledger import Challenge, reserve; "
        "print(reserve(sys.argv[1], Challenge('m', 'b', '', sys.argv[2], ('q',), 'a', {'alpha': 0.05})).look)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", script, root, f"candidate-{k}"], stdout=subprocess.PIPE, text=True)
        for k in range(20)
    ]
    looks = [int(process.communicate(timeout=240)[0]) for process in running]
    assert sorted(looks) == list(range(1, 21))


def test_what_marks_a_question() -> None:
    marks = question_marks(items())
    assert len(marks) == 256 and question_marks(items(0.4 + 1e-6)) == marks == question_marks(items()[::-1])
    assert question_marks([item.with_(question=f" {item.question}. ") for item in items()]) == marks
    assert question_marks([item.with_(answer_idx="B", id=f"x{item.id}") for item in items()]) == marks
    assert set(question_marks(items(text="What?"))).isdisjoint(marks)


def test_sets_with_a_common_twentieth_are_known_to_share_it() -> None:
    both = [replace(items()[0], question=f"Shared {k}") for k in range(50)]
    ours, theirs = ([replace(items()[0], question=f"{name} {k}") for k in range(950)] for name in ("Ours", "Theirs"))
    assert not set(question_marks([*ours, *both])).isdisjoint(question_marks([*both, *theirs]))
    assert not set(question_marks([*ours, *both])).isdisjoint(question_marks(both))
    assert set(question_marks(ours)).isdisjoint(question_marks(theirs))


def test_the_seal_keeps_copies_together_and_rotates(root: str) -> None:
    seal = Seal(1 / 3, ledger.seal_number(root))
    sealed = {item.id for item in items() if seal.covers(item)}
    assert 70 < len(sealed) < 130 and len(open_items(items(), seal)) == 300 - len(sealed)
    copies = [item.with_(id=f"copy-{item.id}", dataset_name="medmcqa") for item in items()]
    assert {item.id for item in copies if seal.covers(item)} == {f"copy-{name}" for name in sealed}
    with pytest.raises(InputError, match="--reason"):
        ledger.rotate_seal(root, " ", "me")
    assert ledger.rotate_seal(root, "the questions were published", "me") == 1 == ledger.seal_number(root)
    assert {item.id for item in items() if Seal(1 / 3, 1).covers(item)} != sealed
    assert not any(Seal().covers(item) for item in items())
