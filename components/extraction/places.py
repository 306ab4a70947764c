"""What is read and where an option's text stands in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from components.extraction.normal import TABLE_GAP, TOKEN, Options, Text, fold, together, tokens_of

UNKNOWN = "-"  # a letter that is no option's
AMBIGUOUS = "?"  # two options at once, or a letter with another option's text: named, but no answer


@dataclass(frozen=True, slots=True)
class View:
    """What is read: `text` as written, `low` the same in lower case, and the item's options."""

    text: str
    low: str
    options: Options


class Value(NamedTuple):
    """An option named in text[start:end]: by "letter", "text", or "both"."""

    letter: str
    start: int
    end: int
    by: str


# After a named option: "option C, "maybe," is incorrect".
CALLED_WRONG = re.compile(
    r"[\"',.)\]]*\s(?:option |choice )?(?:is|was|are) (?:also |clearly |definitely |therefore )?(?:incorrect"
    r"|wrong|false|not (?:correct|right|the (?:correct |right |best )?(?:answer|option|choice)))\b"
    r"|[\"',.)\]]*\s?[-–—:(] ?(?:this is )?(?:incorrect|wrong|false|not correct)\b"
)


def text_at(view: View, pos: int) -> tuple[Text, int] | None:
    """The longest option text that begins at `pos`, and where it ends there."""
    options = view.options
    low = view.low
    here = low[pos : pos + 1]
    if here.isalpha() and here.isascii() and here not in options.starts:
        return None
    head = TOKEN.search(low, pos, pos + 80)
    if head is None or head.start() > pos + 1:
        return None
    token = fold(head.group())
    group = options.by_first.get(token)
    if group is None:
        return None
    start, first = head.start(), group[0]
    if first.plain and low.startswith(first.plain, start):  # the usual case, without looking at tokens
        stop = start + len(first.plain)
        if not low[stop : stop + 1].isalpha() and (end := _accepted(view, pos, first, stop)) is not None:
            return first, end
    if len(first.tokens) > 1:
        second = TOKEN.search(low, head.end(), head.end() + TABLE_GAP + 20)
        follow = fold(second.group()) if second else ""
        group = tuple([text for text in group if len(text.tokens) == 1 or text.tokens[1] == follow])
        if not group:
            return None
    need = len(group[0].tokens)
    if need > 1:
        found = tokens_of(low, pos, min(len(low), pos + 200 + need * 40), need)
    else:
        found = [(token, start, head.end())]
    for text in group:
        size = len(text.tokens)
        if size > len(found) or any(found[k][0] != text.tokens[k] for k in range(size)):
            continue
        if not all(together(low, found[k][2], found[k + 1][1]) for k in range(size - 1)):
            continue
        if (end := _accepted(view, pos, text, found[size - 1][2])) is not None:
            return text, end
    return None


def _accepted(view: View, pos: int, text: Text, end: int) -> int | None:
    """Where the text at `pos` ends with its tail, unless it goes on there or is another number."""
    low = view.low
    if text.tail and (rest := low[end : end + 4].lstrip(" \"')")).startswith(text.tail):
        end += len(low[end : end + 4]) - len(rest) + 1
    if glued(low, end) or (text.strict and not _strictly(view, pos, text)):
        return None
    if text.tokens[0] in view.options.signed and re.search(r"-\s*[\"'(]?$", low[max(0, pos - 3) : pos]):
        return None
    return end


def _strictly(view: View, pos: int, text: Text) -> bool:
    here = "".join(view.text[pos : pos + 2 * len(text.strict) + 10].split())
    return here.startswith(text.strict) and not here[len(text.strict) :][:1].isalnum()


def glued(low: str, end: int) -> bool:
    """Whether the word goes on at `end`: B12, 5 mg/kg, 25 %, 5.5, aspirin-induced."""
    follow = low[end : end + 3]
    if not follow:
        return False
    if follow[0].isalnum() or follow[0] in "_^":
        return follow[0] < "\u2e80"  # Chinese and its like is written without spaces
    if follow[0] in "-/'":
        return follow[1:2].isalnum() and not (follow[0] == "'" and follow[1] == "s")
    if follow[0] in ".,":
        return follow[1:2].isdigit() and low[end - 1].isdigit()
    return low[end - 1].isdigit() and (follow[0] == "%" or follow[:2] == " %")


def separated_initial(view: View, pos: int, text: Text) -> bool:
    """Whether "B. cells" is the letter B and a text of its own, although an option reads "B cells"."""
    first = text.tokens[0]
    if len(first) > 1 or first.upper() not in view.options.letters or text.initial or len(text.tokens) == 1:
        return False
    return view.low[pos + 1 : pos + 2] in tuple(".):]") or view.low[pos + 1 : pos + 3] == " -"


def called_wrong(view: View, value: Value) -> bool:
    """Whether what was named is at once called wrong."""
    return CALLED_WRONG.match(view.low, value.end) is not None
