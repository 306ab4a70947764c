"""An option's text in the last sentence, under a cue of choice and next to no contrast."""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.extraction import cues, tables
from components.extraction.normal import Options, Text, together, tokens_of
from components.extraction.places import View, glued
from components.extraction.reading import Candidate

_SENTENCE_END = re.compile(r"[.!?][\"')\]]*\s+(?=[\"'(\[A-Z0-9])|\n")
_CONTRAST = re.compile(rf"\b(?:{tables.CONTRASTS})\b")
_DENIAL = re.compile(rf"\b(?:{tables.DENIALS})\b|n't\b")
_CUES = tuple(re.compile(cue) for cue in tables.CHOICE_CUES)
_SINGLE = re.compile(tables.SINGLE_SENTENCE_CUE)
_MARK = re.compile(r"(?:^|\W)([a-z])\s?[.):(\-–—]+\s?[\"'(]*$")
_BRACKETED = re.compile(r"\s?[(\[](?:option |choice )?([a-z])[)\]]")
_UNLIKE = re.compile(r"\s*(?:unlike|rather than|instead of|in contrast to) [^,]{1,80},")
_IS_RIGHT = re.compile(
    r"[\"')\]]* (?:is|are|was|would be|should be|must be|needs to be) (?:the )?"
    r"(?:responsible|indicated|involved|appropriate|warranted"
    r"|recommended|needed|preferred|present|affected|given|required|right|it|used first"
    r"|started|initiated|administered|prescribed|performed|ordered|done|culprit|to blame)\b"
)
_TRAIL = re.compile(r",?\s*(?:over|instead of|rather than|in preference to|not)\b")
_MAX = 700


def last_sentence(view: View) -> Iterator[Candidate]:
    """The one option whose text the last sentence chooses."""
    low = view.low.rstrip(" \n\x1e")
    if low.endswith("?"):
        return
    if not _some_text(view.options, low, max(0, len(low) - _MAX)):
        return
    start = sentence_start(view.text, len(low))
    if len(low) - start > _MAX or not _some_text(view.options, low, start):
        return
    found = _texts(view, start, len(low))
    if not found:
        return
    sentence = low[start:]
    head = found[0]
    trailing = _TRAIL.match(low, head[2])
    others = {text.letter for text, _, _ in found}
    if len(others) > 1:
        if trailing and len(others) == 2:
            pass  # "metoprolol over aspirin"
        elif len(others) == 2 and _UNLIKE.match(sentence):
            head = found[-1]
        else:
            return
    text, begin, end = head
    if text.weak and not _alone(low, end):
        return
    before, after = low[start:begin], low[end:]
    apart = _UNLIKE.match(before)
    said = apart.end() if apart else 0
    if _DENIAL.search(before, said):
        return
    if not trailing and (_CONTRAST.search(before, said) or _denied_after(after)):
        return
    mark = _MARK.search(low[max(0, begin - 10) : begin])
    if mark and mark.group(1).upper() in view.options.letters and mark.group(1).upper() != text.letter:
        return
    bracket = _BRACKETED.match(low, end)
    if bracket and bracket[1].upper() in view.options.letters and bracket[1].upper() != text.letter:
        return
    lead = max((m.end() for cue in _CUES for m in cue.finditer(before)), default=-1)
    if lead < 0 and start == 0 and not low[end:].strip(" .!\"')") and (wide := _SINGLE.search(before)):
        lead = wide.end()
    if (lead >= 0 and _near(before[lead:])) or _IS_RIGHT.match(low, end):
        yield Candidate(
            "option_text", cues.WEAK, begin, end, text.letter, "text", view.text[max(start, begin - 60) : end]
        )


_BRACKET = re.compile(r"[(\[](?:option |choice |answer )?([a-z])[)\]]")


def bracketed(view: View) -> Iterator[Candidate]:
    """The one letter in brackets, at the end of the last sentence: "Next step: a scan of the abdomen (Option B)."."""
    low = view.low.rstrip(" .!\n\x1e")
    if not low.endswith((")", "]")) or (found := _BRACKET.search(low, len(low) - 12)) is None:
        return
    letter, start = found[1].upper(), sentence_start(view.text, len(low))
    if letter not in view.options.letters or {other.upper() for other in _BRACKET.findall(low)} != {letter}:
        return
    before = low[start : found.start()]
    if any(text.letter != letter for text, _, _ in _texts(view, start, found.start())):
        return
    if len(before.split()) < 2 or _DENIAL.search(before) or _CONTRAST.search(before):
        return
    yield Candidate("last_line", cues.WEAK, found.start(), found.end(), letter, "letter", view.text[start : len(low)])


def _some_text(options: Options, low: str, start: int) -> bool:
    """Whether the words of some option are all there: a quick check before the costly one."""
    if not low.isascii():
        return True
    for text in options.texts:
        for token in text.tokens:
            if low.find(token, start) < 0:
                break
        else:
            return True
    return False


def sentence_start(text: str, end: int) -> int:
    """Where the last sentence of text[:end] begins."""
    stop, first = end, max(0, end - _MAX)
    while True:
        at = max([text.rfind(mark, first, stop) for mark in (". ", "\n", "? ", "! ", '." ', ".) ")])
        if at < 0:
            return 0
        mark = _SENTENCE_END.match(text, at, end)
        if mark:
            return mark.end()
        stop = at + 1


def _near(between: str) -> bool:
    """Whether only a few words stand between the cue and the text, none of them a new clause."""
    between = between.removeprefix(":")
    return len(between.split()) <= 8 and not re.search(
        r"[;:]|\b(?:but|because|since|that|which|who|when|for|after|before)\b", between
    )


def _denied_after(after: str) -> bool:
    return bool(
        re.match(
            r"[^.;]{0,60}?\b(?:is|are|was|would be|can be|should be) (?:\w+ ){0,2}?(?:not|wrong|incorrect"
            r"|excluded|ruled out|unlikely|contraindicated|less|too)\b|[^.;]{0,40}n't\b",
            after,
        )
    ) or bool(re.search(r"\b(?:but|although|though|however|unless|if)\b", after))


def _texts(view: View, start: int, end: int) -> list[tuple[Text, int, int]]:
    """(text, start, end) of every option text in the span, the longest at each place."""
    tokens = tokens_of(view.low, start, end)
    found, k = [], 0
    while k < len(tokens):
        match = _match(view, tokens, k, view.options) if tokens[k][0] in view.options.by_first else None
        if match:
            text, size = match
            found.append((text, tokens[k][1], tokens[k + size - 1][2]))
            k += size
        else:
            k += 1
    return found


def _match(view: View, tokens: list[tuple[str, int, int]], k: int, options: Options) -> tuple[Text, int] | None:
    for text in options.by_first.get(tokens[k][0], ()):
        size = len(text.tokens)
        part = tokens[k : k + size]
        if len(part) < size or any(part[n][0] != text.tokens[n] for n in range(size)):
            continue
        if not all(together(view.low, part[n][2], part[n + 1][1]) for n in range(size - 1)) or glued(
            view.low, part[-1][2]
        ):
            continue
        begin = part[0][1]
        if begin and view.low[begin - 1] in "-/" and view.low[begin - 2 : begin - 1].isalnum():
            continue
        if text.strict and not "".join(view.text[begin : part[-1][2]].split()).startswith(text.strict):
            continue
        return text, size
    return None


def _alone(low: str, end: int) -> bool:
    """Whether the text ends its sentence: what common words and numbers need in order to count."""
    return not low[end:].strip(" \"').,!")
