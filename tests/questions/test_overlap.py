"""Overlap on labelled pairs written for this test: copies that must be found, look-alikes that must not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_overlap import Index, Weights, item_grams, ngrams

from components.platform.tables import read_items
from components.questions.items import Item
from components.questions.overlap import decontaminate, without_near_duplicates

N, CONTAINED, DUPLICATE = 2, 0.4, 0.7  # the defaults of CurateConfig

VIGNETTE = (
    "A 47-year-old beekeeper comes to the emergency department with a swollen tongue ten minutes after a sting. His "
    "temperature is 37.2°C, pulse is 128/min, respirations are 26/min, and blood pressure is 78/42 mm Hg. There is "
    "wheezing over both lungs and a raised rash on his trunk. Which of the following is the most appropriate next step?"
)
STING = {
    "A": "Intramuscular epinephrine",
    "B": "Intravenous hydrocortisone",
    "C": "Oral cetirizine",
    "D": "Nebulised salbutamol",
}
IMMUNOGLOBULINS = {"A": "IgA", "B": "IgE", "C": "IgG", "D": "IgM"}
RENIN = "Which cells of the kidney release renin when the pressure in the afferent arteriole falls?"
CELLS = {"A": "Juxtaglomerular cells", "B": "Podocytes", "C": "Mesangial cells", "D": "Macula densa cells"}
TRUE_OF = {
    "A": "It is carried by ticks",
    "B": "It is curable with rest",
    "C": "It spares the joints",
    "D": "It is a virus",
}


def item(name: str, question: str, options: dict[str, str], context: str | None = None) -> Item:
    return Item(name, question, options, "A", "made up", context=context)


# Boilerplate that many questions share, so that its n-grams weigh as little as they do in the real sets.
FILLER = [
    item(
        f"filler-{n}",
        f"A {20 + n}-year-old {who} comes to the emergency department with {what}. His temperature is 37.2°C, pulse is "
        f"{60 + n}/min, respirations are {12 + n}/min, and blood pressure is {100 + n}/80 mm Hg. Which of the "
        "following is the most appropriate next step?",
        {
            "A": f"Start {what} protocol",
            "B": f"Image the {who}",
            "C": "Reassure and discharge",
            "D": f"Admit for {what}",
        },
    )
    for n, (who, what) in enumerate(
        (who, what)
        for who in ("baker", "sailor", "teacher", "farmer", "welder")
        for what in ("chest pain", "a dry cough", "sudden weakness", "night sweats", "a sore throat", "back pain")
    )
] + [
    item(
        f"true-{n}",
        f"Which of the following statements about {topic} is true?",
        {
            "A": f"{topic} is inherited",
            "B": f"{topic} needs surgery",
            "C": f"{topic} is rare in children",
            "D": f"{topic} improves with age",
        },
    )
    for n, topic in enumerate(("gout", "asthma", "scurvy", "rickets", "vitiligo", "measles"))
]
BENCHMARK = [
    *FILLER,
    item("sting", VIGNETTE, STING),
    item("cold", "Cold agglutinins are mostly", IMMUNOGLOBULINS),
    item("renin", RENIN, CELLS),
    item("true", "Which of the following statements is true?", TRUE_OF),
    item(
        "trial",
        "Does early walking shorten the stay after hip replacement?",
        {"A": "yes", "B": "no", "C": "maybe"},
        context="Ninety patients were allotted to walk on the first or on the third day. Stays were 4.1 and 5.9 days.",
    ),
]

COPIES = {
    "exact": item("x", VIGNETTE, STING),
    "options reordered": item("x", VIGNETTE, dict(zip("ABCD", list(STING.values())[::-1], strict=True))),
    "retold": item(
        "x",
        "A beekeeper aged 47 is brought in with a swollen tongue ten minutes after a sting. Temperature 37.2°C, pulse "
        "128/min, respirations 26/min, blood pressure 78/42 mm Hg. Wheezing is heard over both lungs and a raised rash "
        "covers his trunk. What should be done next?",
        STING,
    ),
    "cut short": item("x", VIGNETTE[:180], STING),
    "more options": item("x", VIGNETTE, {**STING, "E": "Intravenous fluids", "F": "Observation for an hour"}),
    "other distractors": item(
        "x", VIGNETTE, {"A": STING["A"], "B": "Needle decompression", "C": "Cardiac massage", "D": "Oral aspirin"}
    ),
    "short, exact": item("x", "Cold agglutinins are mostly:", {"A": "IgM", "B": "IgA", "C": "IgG", "D": "IgE"}),
    "short, reworded": item(
        "x", "Which cells of the kidney release renin when afferent arteriole pressure drops?", CELLS
    ),
    "without its context": item(
        "x", "Does early walking shorten the stay after hip replacement?", {"A": "no", "B": "yes", "C": "maybe"}
    ),
}
DECOYS = {
    "same vital signs, other patient": item(
        "x",
        "A 52-year-old diver comes to the emergency department with a numb leg. His temperature is 37.2°C, pulse is "
        "88/min, respirations are 16/min, and blood pressure is 128/82 mm Hg. Which of the following is the most "
        "appropriate next step?",
        {"A": "Recompression", "B": "Lumbar puncture", "C": "Nerve conduction study", "D": "Bed rest"},
    ),
    "same options, other question": item("x", "Which antibody crosses the placenta?", IMMUNOGLOBULINS),
    "same generic stem, other options": item(
        "x", "Which of the following statements is true?", {"A": "Bile is made in the spleen", "B": "Bone is inert"}
    ),
    "two sentences in common": item(
        "x",
        VIGNETTE.split(" His temperature")[0]
        + " He also has a sore elbow from lifting hives, worse on gripping. There "
        "is wheezing over both lungs. Which tendon of the forearm is inflamed?",
        {"A": "Extensor carpi radialis brevis", "B": "Brachioradialis", "C": "Pronator teres", "D": "Palmaris longus"},
    ),
    "same subject": item(
        "x",
        "Which cells of the adrenal gland release aldosterone when potassium rises?",
        {"A": "Glomerulosa cells", "B": "Fasciculata cells", "C": "Reticularis cells", "D": "Chromaffin cells"},
    ),
    "same question form": item(
        "x", "Does late feeding shorten the stay after bowel surgery?", {"A": "yes", "B": "no", "C": "maybe"}
    ),
    "nothing in common": item("x", "Name the largest gland.", {"A": "Liver", "B": "Thyroid"}),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_found(name: str) -> None:
    clean, removed = decontaminate([COPIES[name]], BENCHMARK, N, CONTAINED)
    assert not clean
    assert removed[0].match in ("sting", "cold", "renin", "trial")
    assert removed[0].row()["score"] >= CONTAINED


@pytest.mark.parametrize("name", DECOYS)
def test_a_look_alike_is_left(name: str) -> None:
    clean, removed = decontaminate([DECOYS[name]], BENCHMARK, N, CONTAINED)
    assert clean, removed[0].row()


def test_an_exact_copy_scores_one() -> None:
    for question in BENCHMARK:
        _, removed = decontaminate([question], BENCHMARK, N, CONTAINED)
        found = removed[0].overlap
        assert (found.stem, found.options, found.whole) == pytest.approx((1, 1, 1)), question.id
        assert removed[0].score == pytest.approx(1)


def test_a_report_row_has_no_question_text() -> None:
    _, (removed,) = decontaminate([COPIES["retold"]], BENCHMARK, N, CONTAINED)
    assert set(removed.row()) == {"id", "reason", "match", "score", "stem", "options"}
    assert "beekeeper" not in json.dumps(removed.row())


def test_near_duplicates_need_stem_and_options() -> None:
    same_stem = COPIES["other distractors"].with_(id="y")
    kept, removed = without_near_duplicates([COPIES["exact"], same_stem], N, DUPLICATE)
    assert len(kept) == 2 and not removed, "an equal stem with other options is another question"
    kept, removed = without_near_duplicates([COPIES["exact"], COPIES["options reordered"].with_(id="y")], N, DUPLICATE)
    assert [k.id for k in kept] == ["x"]
    assert (removed[0].id, removed[0].match, removed[0].reason) == ("y", "x", "near_duplicate")


def test_of_near_duplicates_the_one_with_a_trace_stays() -> None:
    plain, traced = COPIES["exact"].with_(id="plain"), COPIES["exact"].with_(id="traced", reasoning="Because.")
    between = DECOYS["same subject"].with_(id="between")
    kept, removed = without_near_duplicates([plain, between, traced], N, DUPLICATE)
    assert [k.id for k in kept] == ["between", "traced"], "the order of the file is kept"
    assert removed[0].match == "traced"


def test_many_copies_of_one_question_leave_one() -> None:
    copies = [COPIES["exact"].with_(id=f"c{n}") for n in range(300)]
    kept, removed = without_near_duplicates(copies, N, DUPLICATE)
    assert len(kept) == 1 and len(removed) == 299


@given(st.text(max_size=80), st.integers(1, 5))
def test_ngrams_cover_every_word_of_any_text(text: str, n: int) -> None:
    grams = ngrams(text, n)
    words = {word for gram in grams for word in gram.split()}
    assert words == {word for gram in ngrams(text, 1) for word in gram.split()}
    assert all(len(gram.split()) <= n for gram in grams)


@given(st.text(max_size=60), st.text(max_size=60))
def test_overlap_is_a_fraction_and_the_same_both_ways(one: str, other: str) -> None:
    first, second = item("a", one, CELLS), item("b", other, STING)
    grams = [item_grams(i, 2) for i in (first, second)]
    weights = Weights(grams)
    for a, b in (grams, grams[::-1]):
        index = Index(weights)
        index.add("only", a)
        for _, found in index.overlaps(b):
            assert 0 <= found.contamination <= 1 and 0 <= found.near_duplicate <= 1


def test_the_samples_planted_copies_are_found_and_no_others() -> None:
    """Planted by the samples' author: reworded copies, and look-alikes that share phrases but ask something else."""
    root = Path(__file__).parents[2]
    planted = json.loads((root / "tests/samples/fixtures/planted.json").read_text(encoding="utf-8"))
    questions, train = (
        [item_ for path in sorted((root / "components/samples" / kind).glob("*.jsonl")) for item_ in read_items(path)]
        for kind in ("benchmarks", "train")
    )
    _, removed = decontaminate(train, questions, N, CONTAINED)
    assert {r.id for r in removed} == {pair["train"] for pair in planted["near_duplicates"]}
    matches = {pair["train"]: pair["benchmarks"] for pair in planted["near_duplicates"]}
    assert all(r.match in matches[r.id] for r in removed)


@pytest.mark.slow
def test_the_published_sets_are_compared() -> None:
    """Exact copies were removed from these training files, near-duplicates were not (the README of the data says)."""
    if not os.environ.get("BIOMED_R1_DATA"):
        pytest.skip("BIOMED_R1_DATA is not set: it names a folder with benchmarks/*.jsonl and train/*.jsonl")
    folder = Path(os.environ["BIOMED_R1_DATA"])
    questions, train = (
        [
            item(f"{path.name}:{n}", row["question"], row["options"], row.get("context"))
            for path in sorted((folder / kind).glob("*.jsonl"))
            for n, row in enumerate(map(json.loads, path.open(encoding="utf-8")))
        ]
        for kind in ("benchmarks", "train")
    )
    _, removed = decontaminate(train, questions, N, CONTAINED)
    assert 0.001 * len(train) < len(removed) < 0.03 * len(train)
