# ruff: noqa: E501
"""Precision and recall on labelled pairs written for this test, and the arrays against the plain definition."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_overlap import Index, Weights, item_grams

from components.questions.items import Item
from components.questions.overlap import decontaminate, without_near_duplicates

N, CONTAINED, DUPLICATE = 2, 0.4, 0.7  # the defaults of CurateConfig

# Question, right answer, three wrong ones; the same question in other words; a question that looks like it and is none.
WRITTEN = [
    (
        "A glassblower of 58 has painless clouding of both lenses after decades at the furnace. Which wavelength is blamed?",
        "Infrared",
        "Ultraviolet",
        "Visible green",
        "Microwaves",
        "Both lenses of a 58-year-old glassblower clouded without pain after decades at the furnace. Which wavelength is to blame?",
        "A glassblower of 58 has painful red eyes after a day without goggles at the furnace. Which layer is burnt?",
    ),
    (
        "Which nerve is at risk when a surgeon ties the inferior thyroid artery close to the gland?",
        "Recurrent laryngeal",
        "Phrenic",
        "Vagus trunk",
        "Hypoglossal",
        "Tying the inferior thyroid artery close to the gland puts which nerve at risk?",
        "Which nerve carries taste from the front of the tongue after leaving the middle ear?",
    ),
    (
        "A toddler who eats paint flakes in an old house is pale and has dense lines at the ends of long bones. What is measured?",
        "Blood lead",
        "Serum copper",
        "Urine arsenic",
        "Serum mercury",
        "Dense lines at the ends of long bones are seen in a pale toddler who eats paint flakes in an old house. What is measured?",
        "A toddler who drinks goat milk only is pale and has large red cells with many-lobed neutrophils. What is missing?",
    ),
    (
        "Which vitamin does an isoniazid course use up, so that tingling of the feet begins?",
        "Pyridoxine",
        "Thiamine",
        "Niacin",
        "Cobalamin",
        "Tingling of the feet begins because an isoniazid course uses up which vitamin?",
        "Which antibiotic of a tuberculosis course colours tears and urine orange?",
    ),
    (
        "A marathon runner drinks only water for five hours and then has a seizure. Which value in the blood is low?",
        "Sodium",
        "Potassium",
        "Glucose",
        "Calcium",
        "After five hours of only water a marathon runner has a seizure. Which value in the blood is low?",
        "A marathon runner stands still at the finish, turns pale and faints for a minute. Which reflex was too slow?",
    ),
    (
        "Which chamber of the heart lies against the oesophagus and is seen best from there by ultrasound?",
        "Left atrium",
        "Right atrium",
        "Left ventricle",
        "Right ventricle",
        "From the oesophagus ultrasound sees best the chamber of the heart that lies against it. Which one?",
        "Which vessel carries blood rich in oxygen from the placenta to the fetus?",
    ),
    (
        "A potter breathes silica for thirty years and has eggshell rims around the lymph nodes of the hilum. Which infection follows?",
        "Tuberculosis",
        "Histoplasmosis",
        "Legionellosis",
        "Actinomycosis",
        "Eggshell rims surround the hilar lymph nodes of a potter who breathed silica for thirty years. Which infection follows?",
        "A potter feels tight in the chest each Monday after the weekend and better by Friday. Which dust is blamed?",
    ),
    (
        "Which enzyme of the red cell fails in a boy who is jaundiced after a meal of broad beans?",
        "Glucose-6-phosphate dehydrogenase",
        "Pyruvate kinase",
        "Hexokinase",
        "Adenylate kinase",
        "A boy is jaundiced after a meal of broad beans. Which enzyme of the red cell fails?",
        "Which protein of the red cell's skeleton fails in a girl with round cells and gallstones?",
    ),
    (
        "A diver surfaces in a hurry and has deep pain in both shoulders an hour later. What is the treatment?",
        "Recompression",
        "Morphine alone",
        "Joint aspiration",
        "Colchicine",
        "An hour after surfacing in a hurry a diver has deep pain in both shoulders. What is the treatment?",
        "A diver has pain in one ear on the way down and hears badly afterwards. What was torn?",
    ),
    (
        "Which hormone of the gut empties the gallbladder when fat reaches the duodenum?",
        "Cholecystokinin",
        "Secretin",
        "Gastrin",
        "Motilin",
        "When fat reaches the duodenum which hormone of the gut empties the gallbladder?",
        "Which hormone of the stomach rises before meals and asks for food?",
    ),
    (
        "A gardener pricked by a rose has nodules that climb the forearm one after another. Which fungus is found?",
        "Sporothrix",
        "Candida",
        "Aspergillus",
        "Cryptococcus",
        "Nodules climb the forearm of a gardener one after another since a rose pricked him. Which fungus is found?",
        "A gardener cut by a rusty fork cannot open his mouth a week later. Which toxin is at work?",
    ),
    (
        "Which artery is torn when a blow to the temple fractures the thin bone there?",
        "Middle meningeal",
        "Superficial temporal",
        "Basilar",
        "Ophthalmic",
        "A blow to the temple fractures the thin bone there. Which artery is torn?",
        "Which vein is torn when an old man's brain shrinks and his head is jolted?",
    ),
    (
        "A baker wheezes within minutes of opening the flour sack and is well on holiday. Which antibody is bound to his mast cells?",
        "IgE",
        "IgA",
        "IgM",
        "IgG4",
        "Well on holiday, a baker wheezes within minutes of opening the flour sack. Which antibody is bound to his mast cells?",
        "A baker has a dry rash where his ring touches the dough, two days after each shift. Which cells cause it?",
    ),
    (
        "Which bone of the wrist is broken when pressure in the hollow between the thumb's tendons hurts?",
        "Scaphoid",
        "Lunate",
        "Pisiform",
        "Hamate",
        "Pressure in the hollow between the thumb's tendons hurts. Which bone of the wrist is broken?",
        "Which bone of the foot is broken when a recruit marches too far in new boots?",
    ),
    (
        "A woman who shovels snow at forty below has a numb white fingertip. How is it warmed?",
        "In water of 40 degrees",
        "By rubbing with snow",
        "Over an open fire",
        "With a heating pad",
        "At forty below a woman shovels snow and has a numb white fingertip. How is it warmed?",
        "A woman who handles frozen peas has fingers that turn white, blue and red. Which drug widens the vessels?",
    ),
    (
        "Which cells of the stomach make the factor that cobalamin needs to be absorbed?",
        "Parietal cells",
        "Chief cells",
        "G cells",
        "Mucous cells",
        "The factor that cobalamin needs to be absorbed is made by which cells of the stomach?",
        "Which cells of the pancreas make the hormone that raises sugar between meals?",
    ),
    (
        "A farmer who slept beside a dusty silo has fever and breathlessness each evening of the harvest. Which disease is it?",
        "Hypersensitivity pneumonitis",
        "Asthma",
        "Sarcoidosis",
        "Bronchiectasis",
        "Each evening of the harvest a farmer who slept beside a dusty silo has fever and breathlessness. Which disease is it?",
        "A farmer who helped with lambing has fever, a cough and a high transaminase. Which organism is found?",
    ),
    (
        "Which drug is stopped first when a man with a new gout attack takes six medicines for his heart?",
        "Hydrochlorothiazide",
        "Bisoprolol",
        "Ramipril",
        "Atorvastatin",
        "A man takes six medicines for his heart and has a new gout attack. Which drug is stopped first?",
        "Which drug is stopped first when a woman on six medicines has a dry cough for a month?",
    ),
    (
        "A sailor without fresh food for months bleeds from the gums and around hair roots. Which step of collagen fails?",
        "Hydroxylation of proline",
        "Cleavage of the propeptide",
        "Crosslinking of lysine",
        "Glycosylation",
        "Bleeding from the gums and around hair roots troubles a sailor without fresh food for months. Which step of collagen fails?",
        "A sailor without light for months has bowed shins and soft ribs. Which step of a vitamin fails?",
    ),
    (
        "Which part of the nephron does furosemide act on?",
        "Thick ascending limb",
        "Proximal tubule",
        "Collecting duct",
        "Distal tubule",
        "Furosemide acts on which part of the nephron?",
        "Which part of the nephron answers to vasopressin?",
    ),
    (
        "A choir singer has hoarseness for six weeks and smoked for thirty years. What is done next?",
        "Laryngoscopy",
        "Voice rest alone",
        "Antibiotics",
        "Chest radiograph only",
        "Hoarse for six weeks, a choir singer smoked for thirty years. What is done next?",
        "A choir singer has a hoarse voice for three days with a runny nose. What is advised?",
    ),
]


def question(name: str, text: str, options: list[str]) -> Item:
    return Item(name, text, dict(zip("ABCDEFG", options, strict=False)), "A", "written")


def labelled() -> tuple[list[Item], list[tuple[Item, bool]]]:
    """The benchmark, and training items with whether each is a copy of one of its questions."""
    benchmark, pairs = [], []
    for n, (text, right, w1, w2, w3, reworded, other) in enumerate(WRITTEN):
        benchmark.append(question(f"b{n}", text, [right, w1, w2, w3]))
        _, *apart = WRITTEN[(n + 7) % len(WRITTEN)][1:5]
        pairs += [
            (question(f"exact-{n}", text, [w3, w2, w1, right]), True),
            (question(f"reworded-{n}", reworded, [w1, right, w2, w3]), True),
            (question(f"longer-{n}", f"Read this with care. {text} Choose one.", [right, w1, w2, w3, "None"]), True),
            (question(f"other-{n}", other, [f"{word} of another kind" for word in apart]), False),
            (question(f"options-{n}", WRITTEN[(n + 3) % len(WRITTEN)][6], [right, w1, w2, w3]), False),
        ]
    return benchmark, pairs


def test_precision_and_recall_on_labelled_pairs() -> None:
    benchmark, pairs = labelled()
    assert len(pairs) >= 100
    _, removed = decontaminate([item for item, _ in pairs], benchmark, N, CONTAINED)
    found = {entry.id: entry.match for entry in removed}
    right = {item.id for item, copy in pairs if copy}
    assert all(match == f"b{name.rpartition('-')[2]}" for name, match in found.items() if name in right)
    precision, recall = len(right & set(found)) / len(found), len(right & set(found)) / len(right)
    assert precision >= 0.98 and recall >= 0.95, (precision, recall, right ^ set(found))


def test_near_duplicates_of_the_labelled_pairs() -> None:
    benchmark, pairs = labelled()
    copies = [item for item, copy in pairs if copy]
    others = [item for item, copy in pairs if not copy]
    kept, _ = without_near_duplicates([*benchmark, *copies, *others], N, DUPLICATE)
    names = {item.id for item in kept}
    assert {item.id for item in benchmark} <= names and {item.id for item in others} <= names
    assert sum(item.id in names for item in copies) <= 0.15 * len(copies), "some reworded ones are not near enough"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_the_arrays_agree_with_the_definition(seed: int, n: int) -> None:
    """Few words and short texts, so that many n-grams are shared."""
    rng = random.Random(seed)

    def made(name: str) -> Item:
        def text(longest: int) -> str:
            return " ".join(rng.choice("abcdefghij") for _ in range(rng.randint(1, longest)))

        return question(name, text(12), [text(3) for _ in range(3)])

    questions, items = [made(f"q{k}") for k in range(12)], [made(f"t{k}") for k in range(12)]
    _, removed = decontaminate(items, questions, n, 0.3)
    found = {entry.id: entry for entry in removed}
    grams = {item.id: item_grams(item, n) for item in questions}
    index = Index(Weights(grams.values()))
    for name, value in grams.items():
        index.add(name, value)
    for item in items:
        best = max((o.contamination for _, o in index.overlaps(item_grams(item, n))), default=0.0)
        assert (item.id in found) == (best >= 0.3) or best == pytest.approx(0.3)
        if item.id in found:
            assert found[item.id].score == pytest.approx(best)
