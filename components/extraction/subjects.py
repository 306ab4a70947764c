"""The option that is the subject of "is correct": "B", "option C, furosemide,", "metoprolol (B)"."""

from __future__ import annotations

import re

from components.extraction.normal import together, tokens_of
from components.extraction.places import AMBIGUOUS, Value, View

REACH = 600  # characters before "is correct" in which its subject is looked for
_TRIM = " \"'.,:;-–—*"
_LABEL = re.compile(
    r"(?:^|[^\w])(?:(?:option|choice|answer|letter) )?[(\[]?([A-Za-z])[)\]]?\s?(?:[.):,\-–—(=]+|, which is"
    r"|which is|is|, i\.e\.,?)\s?(?:the |an? )?[\"'(]*$"
)
_BARE_LABEL = re.compile(r"(?:option|choice|answer|letter) ([a-z]) [\"'(]*$")
_BRACKETED = re.compile(r"\s?[(\[](?:option |choice |answer )?([a-z])[)\]]$")
_LONE = re.compile(r"(?:^|[^\w'])[\"'(\[]*([A-Za-z])[\"')\].:]*$")
_WHO = re.compile(
    r"(?:^|[\n.,;:!?()\"'\]→∴>–—]|(?:^|\s)-|\b(?:that|so|therefore|thus|hence|think|believe|only|say|conclude"
    r"|option|choice|answer|letter"
    r"|and|but|since|because|the|an?|clearly|then|ist|statement|response|however|actually|sure|makes?|making|make"
    r"|leaves?|leaving|left with|consider|yes|yeah|ok|okay|view|opinion|judgment|judgement|case|now|here"
    r"|me|mean|certain|while|as))"
    r"[\s\"'(\[]*$"
)
_JOINED = re.compile(r"\b([a-z])[\"')\]]*\s?(?:,|and|or|&|/|\+|;|,? and|,? or|nor|plus)\s?(?:option )?[\"'(\[]*$")
_CLAUSE = re.compile(r"[.;:!?\n]|\b(?:but|however|so|therefore|thus|hence)\b|, (?=and|which)")
DENIED_BEFORE = re.compile(
    r"\b(?:not|never|nor|neither|n't|cannot|if|whether|unless|suppose|supposing|assuming|assume|doubt|unlikely"
    r"|wrong|incorrect|why|than|over|none)\b|n't\b"
)


def value_before(view: View, pos: int) -> Value | None:
    """The option named right before `pos`, as the subject of what stands there."""
    start = max(view.low.rfind("\n", 0, pos) + 1, pos - REACH)
    end = start + len(view.low[start:pos].rstrip(_TRIM))
    if end <= start:
        return None
    bracket = _BRACKETED.search(view.low, max(start, end - 14), end)
    whole = _text_before(view, start, end) if bracket else None  # "Lipoprotein(a)"
    if bracket and whole is None and bracket.group(1).upper() in view.options.letters:
        letter = bracket.group(1).upper()
        text = _text_before(view, start, bracket.start())
        named = letter if text is None or text[0] == letter else AMBIGUOUS
        if text is None and bracket.start() > start and view.low[bracket.start() - 1].isalnum():
            return Value(letter, bracket.start(), end, "letter")
        return _checked(view, start, text[1] if text else bracket.start(), end, named, "both" if text else "letter")
    closing = end
    while closing > start and view.low[closing - 1] in ")]\"'. ,":
        closing -= 1
    text = _text_before(view, start, closing)
    if text:
        label = _label(view, start, text[1])
        if label:
            return _checked(view, start, label[1], end, text[0] if label[0] == text[0] else AMBIGUOUS, "both")
        return _checked(view, start, text[1], end, text[0], "text")
    lone = _LONE.search(view.text, max(start, end - 8), end)
    if not lone or lone.group(1).upper() not in view.options.letters:
        return None
    if lone.group(1) in view.options.confused:
        before = _LABEL.search(view.text, start, lone.start(1))
        named = before.group(1).upper() if before else AMBIGUOUS
        own = view.options.lone.get(named) == lone.group(1)
        return Value(named if own else AMBIGUOUS, lone.start(1), end, "letter")
    marked = re.search(r"(?:option|choice|answer) [\"'(\[]*$", view.low[max(start, lone.start(1) - 12) : lone.start(1)])
    if lone.group(1).islower() and not marked and not view.low[: lone.start(1)].endswith("("):
        return None
    return _checked(view, start, lone.start(1), end, lone.group(1).upper(), "letter")


def _text_before(view: View, start: int, end: int) -> tuple[str, int] | None:
    """(letter, start) of the longest option text that ends at `end`."""
    options = view.options
    last = tokens_of(view.low, max(start, end - 40), end)[-1:]
    if not last or last[0][0] not in options.lasts:
        return None
    window = tokens_of(view.low, max(start, end - 40 - 40 * options.longest), end)
    best: tuple[int, str, int] | None = None
    for text in options.texts:
        size = len(text.tokens)
        if size > len(window) or (best and best[0] >= size):
            continue
        tail = window[-size:]
        if tuple(token for token, _, _ in tail) != text.tokens:
            continue
        if not all(together(view.low, tail[k][2], tail[k + 1][1]) for k in range(size - 1)):
            continue
        begin = tail[0][1]
        if begin > start and (
            view.low[begin - 1].isalnum() or (view.low[begin - 1] in "-/" and view.low[begin - 2 : begin - 1].isalnum())
        ):
            continue
        if text.strict and not "".join(view.text[begin:end].split()).startswith(text.strict):
            continue
        if text.weak and not _WHO.search(view.low[start:begin]):
            continue
        best = (size, text.letter, begin)
    return (best[1], best[2]) if best else None


def _label(view: View, start: int, end: int) -> tuple[str, int] | None:
    """An option's letter that labels the text which begins at `end`."""
    begin = max(start, end - 40)
    found = _LABEL.search(view.text, begin, end) or _BARE_LABEL.search(view.low, begin, end)
    if not found or (letter := found.group(1).upper()) not in view.options.letters:
        return None
    if found.group(1) in "ai" and not re.search(r"[).:]", view.text[found.end(1) : end]):
        return None
    return letter, found.start(1)


def _checked(view: View, start: int, begin: int, end: int, letter: str, by: str) -> Value | None:
    """The value, unless its clause denies it or its letter is part of a name."""
    before = view.low[start:begin]
    joined = _JOINED.search(before)
    if joined and joined.group(1).upper() in view.options.letters and joined.group(1).upper() != letter:
        letter = AMBIGUOUS
    elif by == "letter" and not _WHO.search(before):
        return None
    if DENIED_BEFORE.search(_CLAUSE.split(before)[-1]):
        return None
    return Value(letter, begin, end, by)
