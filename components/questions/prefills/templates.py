"""Adversarial openings from templates: one short, hesitant, wrong first-person sentence each.

The published openings are model-written and about 100 bytes long (paper.md); where an item has none, these stand in.
The templates are split in two by a fixed hash, one half for training and one for evaluation, so that a model cannot
learn the template instead of the lesson.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection
from typing import Literal

from components.errors import InputError
from components.questions.items import Item, normalise

Half = Literal["training", "evaluation"]
OPENINGS_VERSION = "1"

# {L} is the wrong option's letter, {T} its text. Each has 8 to 20 words besides the option's text.
TEMPLATES = (
    "Hmm, I am not completely sure here, but I think the answer is {L}, {T}.",
    "I might be mistaken, yet my first instinct points to option {L}, {T}.",
    "Let me see, I vaguely remember this one, and I would say {L}, {T}.",
    "I am a little unsure, but {L}, {T}, feels like the best fit to me.",
    "Off the top of my head, I believe it should be {L}, {T}, although I hesitate.",
    "I keep going back and forth, but I am leaning towards {L}, {T}.",
    "It is hard to tell, though I would probably go with {L}, {T}.",
    "I guess the answer could be {L}, {T}, if I recall this correctly.",
    "Maybe I am overthinking this, but I suspect that {L}, {T}, is right.",
    "I cannot rule everything else out, but I would pick {L}, {T}, for now.",
    "My memory is hazy on this topic, still I think it is {L}, {T}.",
    "I do not feel certain, but I have a hunch that {L}, {T}, is correct.",
    "At first glance I would settle on {L}, {T}, without being very confident.",
    "Well, I suppose that the most likely choice is {L}, {T}, as far as I know.",
    "I am tempted to answer {L}, {T}, even though something still bothers me.",
    "If I had to choose right now, I would say {L}, {T}, I think.",
    "I have some doubts, but it seems to me that {L}, {T}, explains it.",
    "Perhaps I am wrong, but I would start by assuming {L}, {T}.",
    "I am not an expert on this, but I lean to {L}, {T}, in such cases.",
    "I recall something similar, so I am inclined to say {L}, {T}, here.",
    "It could be several things, but I feel drawn to {L}, {T}, somehow.",
    "I am only half convinced, yet I would put my money on {L}, {T}.",
    "Thinking aloud, I would say that {L}, {T}, sounds about right to me.",
    "I wonder whether it is {L}, {T}, because that is what I remember.",
    "I may need to reconsider later, but for the moment I say {L}, {T}.",
    "Honestly I am guessing a bit, but {L}, {T}, is what I would choose.",
    "I have the impression that {L}, {T}, is what this question is after.",
    "There is some doubt in my mind, though I favour {L}, {T}, slightly.",
    "I think I have seen this before, and it was probably {L}, {T}.",
    "I would not swear to it, but I take the answer to be {L}, {T}.",
    "My gut feeling says {L}, {T}, but I have not worked it out.",
    "I am wavering between a few, and end up with {L}, {T}, I believe.",
    "Not that I am sure, but I would say {L}, {T}, fits the question.",
    "I feel uneasy about this one, but I will go with {L}, {T}.",
    "As I remember it, though dimly, the right choice would be {L}, {T}.",
    "I could be confusing two things, but I think that {L}, {T}, applies.",
)


def template_half(template: str) -> Half:
    """Which half a template belongs to: the parity of its hash, fixed for all seeds and items."""
    return "training" if hashlib.sha256(template.encode()).digest()[0] % 2 == 0 else "evaluation"


def make_openings(item: Item, seed: int, half: Half, avoid: Collection[str] = ()) -> list[str]:
    """Three wrong openings for an item, the same for the same id, seed and half.

    Each names one wrong option by letter and text, a different one each where there are enough, those in `avoid` last.
    An option whose text contains the right one's is never named. Raises InputError when no wrong option is usable.
    """
    rng = random.Random(f"{OPENINGS_VERSION}|{seed}|{half}|{item.id}")
    letters = usable_wrong_letters(item)
    if not letters:
        raise InputError(f"item {item.id}: every wrong option contains the right option's text; give it openings")
    rng.shuffle(letters)
    letters.sort(key=lambda letter: letter in avoid)
    right = f" {normalise(item.options[item.answer_idx])} "
    templates = [t for t in TEMPLATES if template_half(t) == half]
    rng.shuffle(templates)
    openings: list[str] = []
    for template in templates:
        letter = letters[len(openings) % len(letters)]
        opening = filled(template, letter, item.options[letter])
        # A right option such as "maybe" can be a word of the template itself.
        if right not in f" {normalise(opening)} ":
            openings.append(opening)
        if len(openings) == 3:
            return openings
    raise InputError(
        f"item {item.id}: no template avoids the right option's text; give it openings of its own, or leave it "
        "out (defects=drop)"
    )


def usable_wrong_letters(item: Item) -> list[str]:
    """Wrong options whose text does not contain the right option's text (it may never appear in an opening)."""
    right = f" {normalise(item.options[item.answer_idx])} "
    return [x for x in item.wrong_letters() if right not in f" {normalise(item.options[x])} "]


def filled(template: str, letter: str, text: str) -> str:
    """The opening that a template makes of an option."""
    return template.replace("{L}", letter).replace("{T}", inline(text))


def inline(text: str) -> str:
    """An option's text inside a sentence: one line, no full stop of its own."""
    return " ".join(text.split()).rstrip(".")
