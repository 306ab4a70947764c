"""Which option an output chose: one ordered rule, never a guess.

1. Closed thoughts are dropped (<think> blocks, and the headings and lines by which the published medical models set
   theirs apart); an unclosed one means no answer.
2. The last declared answer ("the answer is B", "\\boxed{B}", "B is correct", ...) wins, negated ones not counted.
3. Only without any: the last non-empty line, if it is a bare letter or one option's text.
4. Only without any: the last sentence, if it contains exactly one option's whole text.
5. Else no answer. Two letters at once are no answer.

The scorers of the published medical models take the better of the first and the last match, guess by string
similarity, or drop empty outputs; this one does none of the three. Change EXTRACTION_VERSION with any change of what
is extracted: it is part of what two models must share to be compared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from components.extraction.declared import AMBIGUOUS, View, declared
from components.extraction.text import Options, clean, label, lower, prepare, without_thought

EXTRACTION_VERSION = "3"

_LABELLED = re.compile(
    r"(?:(?:option|choice|answer)\s)?[\"'(\[{_ ]*([a-z])[\"')\]}_.:]*(?:\s?[-–—:]?\s(.+))?", re.DOTALL
)
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*\s+(?=[\"'(\[A-Z0-9])|\n")
_MARK = re.compile(r"(?:^|\W)([a-z])\s?[.):(\-–—]+\s?[\"'(]*$")
_DENIED = re.compile(
    r"\b(?:not|never|no|nor|neither|without|except|exclud\w+|rul\w+ out|unlikely|incorrect|wrong|rather than|instead of"
    r"|cannot|if|whether|which|unless|less)\b|n't\b"
)


def extract(output: str, options: Mapping[str, str]) -> str | None:
    """The letter of the option that `output` chose, or None; never raises for any text.

    `options` is {letter: text}, letters A to Z.
    """
    spoken = without_thought(output)
    if spoken is None:
        return None
    text = clean(spoken).strip()
    if not text:
        return None
    low = lower(text)
    known = prepare(options)
    letter = declared(View(text, low, known))
    if letter is not None:
        return None if letter == AMBIGUOUS else letter
    letter, head = _last_line(low, known)
    if letter is None:
        letter = _last_sentence(text, low, known)
        before, _, last = low.rpartition("\n")
        head = before if label(last) else ""
    return None if letter is None or _listed(letter, head, known) else letter


def _last_line(low: str, options: Options) -> tuple[str | None, str]:
    """The option that the last line is (the last few, where an option has several), and the text before it."""
    lines = low.rsplit("\n", options.lines)
    for count in range(1, min(options.lines, len(lines)) + 1):
        if letter := _line_option(" ".join(" ".join(lines[-count:]).split()), options):
            return letter, "\n".join(lines[:-count])
    return None, low


def _listed(letter: str, head: str, options: Options) -> bool:
    """Whether the last line is only the next entry of a list of the options: the line before it is the one before."""
    place = options.letters.index(letter)
    head = head.rstrip()
    previous = (label(head.rpartition("\n")[2]), _last_line(head, options)[0])
    return place > 0 and options.letters[place - 1] in previous


def _line_option(line: str, options: Options) -> str | None:
    """The option that a whole line names: `b`, `(b)`, `option b.`, `b. its own text`, or its text."""
    if len(line) > 1000:
        return None
    bare = line.strip(" .,;:!\"'()[]{}_#->")
    if len(bare) == 1:
        letter = bare.upper()
        return letter if letter in options.letters else None
    for text, letter in options.texts:
        if bare == text.strip(" .,;:!\"'()[]{}_#->"):
            return letter
    labelled = _LABELLED.fullmatch(line.lstrip("#-> "))
    if labelled and (letter := labelled.group(1).upper()) in options.letters:
        rest = (labelled.group(2) or "").strip(" .,;:!\"'()[]{}_")
        if not rest or rest == options.text_of[letter].strip(" .,;:!\"'()[]{}_"):
            return letter
    return None


def _last_sentence(text: str, low: str, options: Options) -> str | None:
    """The one option whose whole text the last sentence contains, affirmed."""
    start = max((m.end() for m in _SENTENCE_END.finditer(text)), default=0)
    if low.endswith("?"):
        return None
    found: set[str] = set()
    sentence, covered = low[start:], bytearray(len(low) - start)
    for option, letter in options.texts:  # longest first: what it covers is not looked at again
        for at in _occurrences(sentence, option, covered):
            end = at + len(option)
            if options.weak(option) and not _alone(sentence, at, end):
                continue
            if letter not in found and (
                _DENIED.search(sentence, 0, at) or _mislabelled(low, start + at, letter, options)
            ):
                return None
            found.add(letter)
            covered[at:end] = b"\1" * len(option)
    return found.pop() if len(found) == 1 else None


def _occurrences(sentence: str, option: str, covered: bytearray) -> list[int]:
    """Where `option` stands as whole words in an uncovered place."""
    places = []
    at = sentence.find(option)
    while at >= 0:
        end = at + len(option)
        if not covered[at] and not _glued(sentence, at - 1, option[0]) and not _glued(sentence, end, option[-1]):
            places.append(at)
        at = sentence.find(option, end)
    return places


def _mislabelled(low: str, at: int, letter: str, options: Options) -> bool:
    """Whether another option's letter stands before the text at `at`, as in `A. 4.0 mM` where that is B's text."""
    mark = _MARK.search(low[max(0, at - 10) : at])
    return mark is not None and mark.group(1).upper() in options.letters and mark.group(1).upper() != letter


def _glued(sentence: str, at: int, edge: str) -> bool:
    """Whether the character at `at` makes one word of its neighbour `edge`."""
    if not 0 <= at < len(sentence):
        return False
    return edge.isalnum() and (sentence[at].isalnum() or sentence[at] == "-")


def _alone(sentence: str, start: int, end: int) -> bool:
    """Whether nothing but punctuation, or the sentence's ends, surround the span."""
    before, after = sentence[max(0, start - 20) : start].rstrip(" \"'("), sentence[end : end + 20].lstrip(" \"')")
    return (not before or before[-1] in ",;:-") and (not after or after[0] in ".,;:!-")
