"""How a model is asked for one wrong opening, as data: a change of text is a change of version."""

from __future__ import annotations

import hashlib

from components.questions.items import Item
from components.questions.prefills.rule import MAX_WORDS

_TASK = (
    "You write the beginning of an unsure student's answer to a multiple-choice question. The student leans towards a "
    "wrong option. Write one short first-person sentence that sounds hesitant and names that option by letter and "
    f"text. Use at most {MAX_WORDS} words besides the option's text. Name no other option and add nothing else."
)
_ASK = "Question: {question}\n{options}\nThe student leans towards: {letter}. {text}\nBegin with: {start}"
# Another one each time the same opening is asked for: endpoints that decode greedily would only repeat themselves.
_STARTS = (
    "Hmm",
    "I may be wrong",
    "Perhaps",
    "Off the top of my head",
    "I am not sure",
    "At first glance",
    "If I remember correctly",
)
# Turns of the chat before the question itself, for models that follow an example better than an instruction.
_EXAMPLES = (
    (
        "Which vitamin does sunlight let the skin make?",
        {"A": "Vitamin C", "B": "Vitamin D", "C": "Vitamin K"},
        "C",
        "Hmm",
        "Hmm, I am not sure, but I would lean towards C, Vitamin K, as far as I remember.",
    ),
    (
        "Which chamber of the heart pumps blood into the aorta?",
        {"A": "Right atrium", "B": "Left atrium", "C": "Right ventricle", "D": "Left ventricle"},
        "B",
        "I may be wrong",
        "I may be wrong, but my first thought is B, Left atrium.",
    ),
)


def opening_messages(item: Item, letter: str, place: int = 0, attempt: int = 1) -> tuple[tuple[str, str], ...]:
    """The chat, as (role, content), that asks for an opening towards the wrong option `letter` of `item`.

    `place` (0 to 2) is which of the three it will be; it and `attempt` (from 1) decide the words it begins with.
    """
    turns = [("system", _TASK)]
    for question, options, wrong, start, opening in _EXAMPLES:
        turns += [("user", _asked(question, options, wrong, start)), ("assistant", opening)]
    stem = f"{item.context}\n\n{item.question}" if item.context else item.question
    start = _STARTS[(place + 3 * (attempt - 1)) % len(_STARTS)]
    return (*turns, ("user", _asked(stem, item.options, letter, start)))


def opening_prompt_version() -> str:
    """Hash of everything that is said besides the question, recorded with every opening."""
    return hashlib.sha256(repr((_TASK, _ASK, _STARTS, _EXAMPLES)).encode()).hexdigest()[:12]


def _asked(question: str, options: dict[str, str], letter: str, start: str) -> str:
    listed = "\n".join(f"{x}. {text}" for x, text in options.items())
    head, _, tail = _ASK.partition("{question}")
    head_of_options, _, end = tail.partition("{options}")
    return head + question + head_of_options + listed + end.format(letter=letter, text=options[letter], start=start)
