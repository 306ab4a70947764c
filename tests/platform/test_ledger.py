"""The ledger of decisions on a real S3 server and on a folder: nothing lowers a look, and no two writers share one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from components.errors import DamagedError, InputError
from components.platform.storage import ledger, objects
from components.platform.storage.ledger import Challenge, reserve
from components.questions.items import Item
from components.questions.seal import Seal, open_items, questions_digest

TERMS = {"alpha": 0.05, "margin": 0.03, "schedule": "harmonic"}
FIRST = Challenge("biomed-r1", "b" * 64, "c" * 64, "q" * 64, "a" * 64, TERMS)


@pytest.fixture(params=["s3", "local"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.getfixturevalue("store_uri") if request.param == "s3" else tmp_path)


def items(probability: float = 0.4, text: str = "Which?") -> list[Item]:
    options = {"A": "one", "B": "two"}
    made = [Item(str(k), f"{text} {k}", options, "A", "medqa", reasoning_prob=probability) for k in range(300)]
    return made


def test_looks_count_up_and_the_same_answers_keep_their_place(root: str) -> None:
    assert reserve(root, FIRST) == 1 and reserve(root, FIRST) == 1
    second = replace(FIRST, candidate="d" * 64)
    assert reserve(root, second) == 2 and reserve(root, FIRST) == 1 and reserve(root, second) == 2


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
    assert reserve(root, replace(FIRST, **change)) == (1 if "name" in change else 2)


def test_another_name_does_not_start_again(root: str) -> None:
    reserve(root, FIRST)
    assert reserve(root, replace(FIRST, name="another-name", candidate="d" * 64)) == 2


def test_other_terms_on_a_used_key_are_refused(root: str) -> None:
    reserve(root, FIRST)
    with pytest.raises(InputError, match=r"alpha 0\.05 \(now 0\.2\)"):
        reserve(root, replace(FIRST, candidate="d" * 64, terms={**TERMS, "alpha": 0.2}))
    assert reserve(root, replace(FIRST, baseline="f" * 64, terms={**TERMS, "alpha": 0.2})) == 1


def test_a_deleted_entry_is_noticed(root: str) -> None:
    reserve(root, FIRST)
    reserve(root, replace(FIRST, candidate="d" * 64))
    objects.delete(f"{root}/ledger/{FIRST.key}/000001.json")
    with pytest.raises(DamagedError, match="decision 1 is missing"):
        reserve(root, replace(FIRST, candidate="e" * 64))


def test_twenty_processes_reserve_twenty_looks(root: str) -> None:
    script = (
        "import sys; from components.platform.storage.ledger import Challenge, reserve; "
        "print(reserve(sys.argv[1], Challenge('m', 'b', sys.argv[2], 'q', 'a', {'alpha': 0.05})))"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", script, root, f"candidate-{k}"], stdout=subprocess.PIPE, text=True)
        for k in range(20)
    ]
    looks = [int(process.communicate(timeout=240)[0]) for process in running]
    assert sorted(looks) == list(range(1, 21))


def test_strata_and_order_are_no_part_of_the_questions() -> None:
    digest = questions_digest(items())
    assert questions_digest(items(0.4 + 1e-6)) == digest == questions_digest(items()[::-1])
    assert questions_digest(items(text="What?")) != digest
    shifted = [item.with_(answer_idx="B") for item in items()]
    assert questions_digest(shifted) != digest


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
