"""Which model-written openings are used: one that names exactly one option, a wrong one, briefly.

Strict on purpose. A rejected opening is asked again and in the end replaced by a template, an accepted one that names
the right option, two options or none would measure something else than it says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from components.qa.extraction_text import without_thought
from components.qa.items import Item, normalise

MAX_WORDS = 30  # besides the option's text
RULE_VERSION = "1"

_LETTER = re.compile(r"(?<![\w'’\-])([A-Z])(?![\w'’\-])")
# Lower case counts only where it cannot be an article: `option b`, `answer is (c)`, `(d)`.
_MARKED = re.compile(
    r"\b(?:option|choice|answer|letter)\s+(?:(?:is|would be|could be)\s+)?\W?([a-z])\b|\(([a-z])\)", re.I
)
# `hepatitis B` or `vitamin A` is no choice of option B or A.
_COMPOUND = re.compile(
    r"\b(?:vitamin|hepatitis|type|group|factor|stage|class|grade|influenza|protein|drug)s?\s+$", re.I
)
_CLAUSE = re.compile(r"[,;:.!?()]|\b(?:but|though|although|yet|still|so)\b", re.I)
_DENIAL = re.compile(r"\b(?:not|never|nor|neither|cannot|exclud\w+|rul\w+ out|unlikely|doubt)\b|n['’]t\b", re.I)
_DENIED_AFTER = re.compile(
    r"\b(?:is|are|was|be|seems?|looks?)\s+(?:not|wrong|incorrect|unlikely|ruled out)\b|n['’]t\b", re.I
)
_START = r"(?<!\w)(?<!\d\.)"  # `2% saline` does not begin inside `0.2% saline`
_MARKUP = re.compile(r"<\||\|>|</?think|\n")


@dataclass(frozen=True)
class Verdict:
    """`letter` of the wrong option an accepted opening names, else None and the `reason` why it is not used."""

    letter: str | None
    reason: str = ""


def judge(opening: str, item: Item) -> Verdict:
    """Whether `opening` (what the assistant would already have said) may open the answer to `item`.

    By text an option is named where its words stand whole, longest text first; by letter where the letter stands
    alone and is not a pronoun, an article or part of a name. The right option's text may not appear at all, not even
    inside a wrong option's.
    """
    text = opening.strip()
    if not text:
        return Verdict(None, "empty")
    if _MARKUP.search(text):
        return Verdict(None, "several lines or markup")
    by_text, rest = _by_text(normalise(text), item.options)
    firm, unclear = _by_letter(text, item.options)
    named = by_text | firm
    right = normalise(item.options[item.answer_idx])
    if item.answer_idx in named | unclear or (right and _whole(right).search(normalise(text))):
        return Verdict(None, "names the right option")
    if not named:
        return Verdict(None, "names no option")
    if len(named | unclear) > 1:
        return Verdict(None, "names several options")
    if len(rest.split()) > MAX_WORDS:
        return Verdict(None, f"more than {MAX_WORDS} words")
    letter = next(iter(named))
    if _denied(text, letter, item.options[letter]):
        return Verdict(None, "denies the option")
    return Verdict(letter)


def written_opening(output: str) -> str:
    """The opening in what a model wrote: after its thoughts the first line that says something, without list marks
    and quotes."""
    said = (without_thought(output) or "").splitlines()
    lines = (re.sub(r"^[\s>*#\-–\d.)]*", "", line).strip(" \t\"'“”`*") for line in said)
    return next((" ".join(line.split()) for line in lines if re.search(r"\w", line)), "")


def _by_text(low: str, options: Mapping[str, str]) -> tuple[set[str], str]:
    """Letters of the options whose normalised text stands in `low`, and `low` without these texts."""
    found: set[str] = set()
    for text, letter in sorted(((normalise(t), x) for x, t in options.items()), key=lambda p: (-len(p[0]), p[1])):
        if text and (pattern := _whole(text)).search(low):
            found.add(letter)
            low = pattern.sub(" | ", low)
    return found, re.sub(r"(?:^|\s)\|(?=\s|$)", " ", low)


def _by_letter(text: str, options: Mapping[str, str]) -> tuple[set[str], set[str]]:
    """Letters that stand for an option, and letters that may only be part of a name such as `hepatitis B`."""
    for option in sorted(options.values(), key=len, reverse=True):
        text = _spaced(option).sub(" ", text)
    firm = {(a or b).upper() for a, b in _MARKED.findall(text) if (a or b).upper() in options}
    unclear: set[str] = set()
    for match in _LETTER.finditer(text):
        letter, before, after = match[1], text[: match.start()], text[match.end() :]
        if letter not in options or letter == "I":  # marked or a pronoun
            continue
        if (
            letter == "A"
            and re.search(r"(?:^|[.!?]\s+)$", before)
            and re.match(r"\s+(?!(?:or|and|is|may|might|could|seems)\b)\w", after)
        ):
            continue  # an article
        (unclear if _COMPOUND.search(before) else firm).add(letter)
    return firm, unclear


def _denied(text: str, letter: str, option: str) -> bool:
    """Whether the clause that names the option denies it; doubts in a clause of their own are welcome."""
    text = _spaced(option.rstrip(".")).sub("□", text)  # its own words, such as `not covered`, deny nothing
    places = list(re.finditer(rf"□|(?<!\w){letter}(?!\w)", text))
    for place in places:
        before = _CLAUSE.split(text[: place.start()])[-1]
        after = re.split(r"[;.!?]|\b(?:but|though|although)\b", text[place.end() :], maxsplit=1)[0]
        if _DENIAL.search(before) or _DENIED_AFTER.search(after):
            return True
    return not places and _DENIAL.search(text) is not None


def _whole(text: str) -> re.Pattern[str]:
    return re.compile(rf"{_START}{re.escape(text)}(?!\w)")


def _spaced(text: str) -> re.Pattern[str]:
    """`text` as whole words in any case and with any spaces."""
    words = r"\s+".join(re.escape(word) for word in text.split())
    return re.compile(rf"{_START}{words}(?!\w)", re.IGNORECASE)
