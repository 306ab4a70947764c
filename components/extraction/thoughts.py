"""Where a thought ends and the answer begins, for every family of models (the marks are in tables.py)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from components.extraction import tables

_NAMES = "|".join(re.escape(name) for name in tables.THOUGHT_TAGS)
_ANSWERS = "|".join(tables.ANSWER_HEADINGS)
_HEADS = "|".join(tables.THOUGHT_HEADINGS)
_PARTS = [
    rf"<\s*(?P<close>/?)\s*(?P<tag>{_NAMES})\s*>",
    r"^(?P<level>#{1,4}) *(?P<heading>[^\n]+)$",
    rf"^\*\*(?P<bold>{_HEADS}|{_ANSWERS}):?\*\*:?",
    r"^(?:<\|im_start\|>)?(?P<line>(?-i:think|answer))[ \t\r]*$",
    *(f"(?P<open{n}>{start})|(?P<shut{n}>{end})" for n, (start, end) in enumerate(tables.THOUGHT_MARKS)),
]
_MARK = re.compile("|".join(_PARTS), re.IGNORECASE | re.MULTILINE)
# Plain searches: without any of these words no mark can be there.
_WORDS = (
    "think",
    "thought",
    *tables.THOUGHT_TAGS,
    *tables.UNOPENED_HEADINGS,
    "<unused9",
    "<|channel",
    "assistantfinal",
)
_NEEDED_BARE = (
    "\nthink",
    "think]",
    "assistantfinal",
    "assistant final",
    *tables.THOUGHT_HEADINGS,
    *tables.UNOPENED_HEADINGS,
)
_NEEDED = tuple(sorted({w for w in _WORDS if not any(o != w and o in w for o in _WORDS)}))


@dataclass(frozen=True)
class _Mark:
    """A mark of a family of thoughts: it opens one, ends one, or ends one that nothing opened."""

    family: str
    opens: bool
    ends_unopened: bool
    keeps: bool = False  # a heading after a thought may hold the answer itself
    level: int = 0


def _possible(low: str) -> bool:
    """Whether a mark can be there at all: the quickest check."""
    return "think" in low or "thought" in low or "<" in low or "reason" in low or "final" in low or "◁" in low


def without_thought(text: str) -> str | None:
    """The text outside closed thoughts; None when a thought is still open at the end.

    A closing mark without its opening one (the chat template or a given opening stood there) closes a thought that
    began with the output.
    """
    low = text.lower()
    if not (_possible(low) or low.startswith("analysis")):
        return text
    for word in _NEEDED if "<" in text or "◁" in text else _NEEDED_BARE:
        if word in low:
            break
    else:
        if not low.startswith(("analysis", "think")):
            return text
    kept: list[str] = []
    start, inside = 0, _Mark("", False, False)
    for found in _MARK.finditer(text):
        mark = _mark(found)
        if mark is None:
            continue
        if mark.opens and not inside.family:
            kept.append(text[start : found.start()])
            inside = mark
        elif (not mark.opens and _ends(mark, inside)) or (mark.ends_unopened and not inside.family):
            if not inside.family:
                kept.clear()
            start, inside = found.start() if mark.keeps else found.end(), _Mark("", False, False)
    return None if inside.family else "".join(kept) + text[start:]


def _ends(mark: _Mark, inside: _Mark) -> bool:
    if inside.family in ("heading", "bold") and mark.family in ("heading", "bold"):
        return mark.family != inside.family or mark.level <= inside.level
    return mark.family == inside.family


def _mark(found: re.Match[str]) -> _Mark | None:
    """What the match is, or None when it is an ordinary heading or line."""
    if found["tag"]:
        return _Mark(found["tag"].lower(), not found["close"], bool(found["close"]))
    if found["heading"]:
        word = found["heading"].strip(" *:#_\r\t").lower()
        opens = word in tables.THOUGHT_HEADINGS
        return _Mark("heading", opens, word in tables.UNOPENED_HEADINGS and not opens, True, len(found["level"]))
    if found["bold"]:
        word = found["bold"].lower()
        return _Mark("bold", word in tables.THOUGHT_HEADINGS, word in tables.UNOPENED_HEADINGS, True)
    if found["line"]:
        return _Mark("line", found["line"] == "think", False)
    family = str(found.lastgroup)
    return _Mark(family[4:], family.startswith("open"), family.startswith("shut"))
