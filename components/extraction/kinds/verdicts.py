"""Lists that judge the options one by one: "A: Incorrect. B: Correct.", ticked boxes, marks of right and wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.extraction import cues
from components.extraction.normal import tokens_of
from components.extraction.places import AMBIGUOUS, View
from components.extraction.reading import Candidate
from components.extraction.values import value_at

RIGHT_WORDS = r"correct|right|true|yes|correct answer|✅|✓|✔|☑|\[x\]|\[✓\]"
WRONG_WORDS = r"incorrect|wrong|false|no|not correct|❌|✗|✘|☐|×|\[ \]"
_ENTRY = re.compile(
    r"(?:^|[\n;|]|\. |[,:]\s?(?=[a-z]\s?[✅✓✔❌✗✘]))"
    r"[\s\-•>#|]*(?P<tick>✅|✓|✔|☑|❌|✗|✘|☐|\[x\]|\[ ?\])?\s?(?:option )?[(\[]?(?P<letter>[a-z])"
    r"(?:[.):\]|?]|\s[-–—|:(]|(?=\s?[✅✓✔❌✗✘])|(?= is (?:correct|incorrect|true|false|right|wrong)\b))"
    r"(?P<text>[^\n]{0,200}?)(?:(?P<word>" + RIGHT_WORDS + "|" + WRONG_WORDS + r")(?=[.,;|)\]\n: -]|$)|(?=\n|$))"
)
_ASKED_WRONG = re.compile(
    r"\b(?:asks|asked|asking|looking|question is|need to find|want)\b[^.\n?!]{0,60}?"
    r"\b(?:incorrect|false|wrong|not (?:true|correct)|except(?:ion)?|untrue)\b"
)
_TICKS = frozenset("✅✓✔☑❌✗✘☐×")
_SAID = re.compile(r"(?:^\s?|[:\-–—|(=>.]\s?)(?:this |it |that )?(?:(?:statement|option|answer) )?(?:is )?(?:the )?$")
_RIGHT = re.compile(rf"(?:{RIGHT_WORDS})$")


def _possible(low: str) -> bool:
    """Whether words for right and for wrong, or ticks, are there at all."""
    if "[x]" in low or not (low.isascii() or _TICKS.isdisjoint(low)):
        return True
    if "incorrect" in low or "wrong" in low or "false" in low or "not correct" in low:
        return "correct" in low or "true" in low or "right" in low
    return "yes" in low and "no" in low and ("\n" in low or ";" in low)


def _own(view: View, letter: str, start: int, end: int) -> bool:
    """Whether the judging word belongs to the option's own text ("B. no")."""
    return tuple(token for token, _, _ in tokens_of(view.low, start, end)) == view.options.own.get(letter)


_BOX = re.compile(r"(?P<on>[\[(](?:x|✓|✔)[\])]|☑|☒)|[\[(] ?[\])]|☐")


def _ticked(view: View) -> Iterator[Candidate]:
    """The one option whose box is ticked while others' are empty."""
    boxes = list(_BOX.finditer(view.low))
    ticked = [box for box in boxes if box["on"]]
    if len(ticked) != 1 or len(boxes) < 2:
        return
    at = boxes.index(ticked[0])
    begin, end = ticked[0].end(), boxes[at + 1].start() if at + 1 < len(boxes) else len(view.low)
    part = View(view.text[begin:end], view.low[begin:end], view.options)
    value = value_at(part, 0, sure=True)
    if value and value.letter in view.options.letters:
        span = view.text[ticked[0].start() : begin + value.end]
        yield Candidate("verdicts", cues.SAID, ticked[0].start(), begin + value.end, value.letter, value.by, span)


def verdicts(view: View) -> Iterator[Candidate]:
    """The one option that a list calls right while it calls others wrong (or that alone is ticked)."""
    low = view.low
    if "[x]" in low or "(x)" in low or not low.isascii():
        yield from _ticked(view)
    if not _possible(low):
        return
    right: dict[str, re.Match[str]] = {}
    wrong: set[str] = set()
    ticked = False
    for entry in _ENTRY.finditer(low):
        letter = entry["letter"].upper()
        said = entry["tick"] or entry["word"]
        if letter not in view.options.letters or not said:
            continue
        if entry["word"] and _own(view, letter, entry.start("text"), entry.end("word")):
            continue
        if not entry["tick"] and not _SAID.search(entry["text"]) and said[0].isalpha():
            continue
        ticked = ticked or bool(entry["tick"])
        if _RIGHT.match(said):
            right[letter] = entry
        else:
            wrong.add(letter)
    if len(right) > 1 and len(wrong) == 1 and (asked := _ASKED_WRONG.search(low)):
        letter = next(iter(wrong))  # "A is correct. B is incorrect. C is correct. The question asks for the false one."
        yield Candidate("inverted", cues.CHOSEN, asked.start(), asked.end(), letter, "letter", asked.group())
    elif len(right) > 1 and wrong and (last := max(right.values(), key=lambda entry: entry.end())):
        # Several are called right, and what is asked for is not said.
        yield Candidate("verdicts", cues.SAID, last.end(), last.end(), AMBIGUOUS, "letter", last.group().strip())
    if len(right) == 1 and (wrong or ticked):
        letter, entry = next(iter(right.items()))
        if letter not in wrong:
            span = view.text[entry.start() : entry.end()].strip()
            yield Candidate("verdicts", cues.SAID, entry.start(), entry.end(), letter, "letter", span)
