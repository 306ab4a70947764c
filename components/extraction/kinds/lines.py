"""Answers that are a line of their own: the first line before an explanation, or the last one after it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.extraction import cues, governing, tables
from components.extraction.candidates import candidate
from components.extraction.normal import tokens_of
from components.extraction.places import AMBIGUOUS, Value, View, called_wrong, separated_initial, text_at
from components.extraction.reading import Candidate
from components.extraction.values import letter_at, letter_with_text, value_at

_LABEL = re.compile(r"[\s#>\-•(\[]*(?:option |choice )?([a-z])\s?[).\]:]")
_BULLET = re.compile(
    r"(?:-(?![\d.])|[\s#>•=✅✓✔☑👉→➡▶►⇒⭐🔹🔸↵|\"'\x1e_~])*(?:\d{1,2}[.)]\s(?=\W*[a-z]\b))?[\s\"'\x1e]*(?:[(\[]?(?:option"
    r"|choice|alternative|assistant:|model:)\s)?\s*"
)
_ENDS = " .,;:!\"'()[]{}_#->\n\x1e=|"
_AFTER_LETTER = re.compile(
    r"[\"')\]}>]*(?:\s*(?:$|\n|\x1e)|!{1,4}\s(?![\"'(]?[a-z]\b)|\s?(?:→|⇒|->|=>)\s(?=[a-z]{2})|[.:)\]](?:[.,]|\s|$|\n|(?=[A-Z]))"
    r"|\s?[,;]\s|\s?[-–—]\s|\s(?:because|since"
    r"|as it|as the|rather than|instead of|over|due to|but|and not|so|for the following|which)\b|\s?\((?![^"
    r"()\n]*\) (?!because|since|as\b|due to|over|rather|is the (?:correct|right|best|most))[a-z])"
    r"|\s(?=(?:explanation|rationale|reason|the|this|it)\b))"
)
_SECOND = re.compile(r"\s?(?:,|and|or|&|/|\+|;|、)\s?(?:and |or |option )?[(\[]?[a-z](?:[)\].,;:\s]|$)")
_TEXT_ENDS = re.compile(
    r"[\"')\]]*\s?(?:$|\n|\x1e|[.;:!]|,\s(?:because|since|as|which|it)\b|\s(?:because|since|due to)\b|\s?[-–—]\s"
    r"|\s\((?!not))"
)
_WEAK_ENDS = re.compile(r"[\"')\]]*\s?(?:$|\n|\x1e|[.!;:]|,\s|\s(?:because|since|due to|as)\b|\s?[-–—]\s)")
_STOPPED = re.compile(r"[\"')\]]*[.;,\n]\s*")
_STOPS = re.compile(r"\s*(?:[.;,\n]|$)")
_OPEN = re.compile(r"[(\[{\"'<]*")
_CLOSED = re.compile(r"[)\]]? (?=\w)")
_LETTER_AFTER = re.compile(r"\s?[(\[](?:option )?[a-z][)\]]")
# "Aspirin (A) would …" goes through the options; "Aspirin (A)." and "Aspirin (A), because …" are answers.
_BRACKET_ENDS = re.compile(
    r"[\"')\]]*\s?(?:$|\n|\x1e|[.,;:!]|(?:because|since|as|due to|is the (?:correct|right|best|most))\b|[-–—]\s)"
)
_HEDGE = re.compile(
    r"(?:probably|most likely|likely|definitely|clearly|certainly|i think|i believe|i'd say"
    r"|approximately|about|around|roughly),?:? "
)
_MAX_LINE = 1500


def lines(view: View, everything: bool = False) -> Iterator[Candidate]:
    """The option that the first line begins with, and the one that the last line is (where it can win)."""
    first = next(first_line(view), None)
    if first:
        yield first
        if not everything and not _one_more_line(view, first.end):
            return
    last = next(last_line(view), None)
    if last:
        # Two lines and nothing else: the last one counts as within a kind.
        between = view.low[first.end : last.start] if first else ""
        alone = "\n" in between and not between.strip(_ENDS)
        yield last._replace(strength=cues.FIRST) if alone else last


def _one_more_line(view: View, end: int) -> bool:
    """Whether one more line with words follows, and no other."""
    after = view.low.find("\n", end)
    if after < 0 or view.low[end:after].strip(_ENDS):
        return False
    return view.options.lines > 1 or "\n" not in view.low[after : after + _MAX_LINE].strip(_ENDS)


def first_line(view: View) -> Iterator[Candidate]:
    """An answer before its reasons: "C. Furosemide\\n\\nRationale: …", "C\\n\\nThe other …", "Yes. The trial …"."""
    heading = _HEADING.match(view.low)
    start = _BULLET.match(view.low, heading.end() if heading else 0).end()  # type: ignore[union-attr]  # matches "" too
    if _begins_otherwise(view, start) or _enumerated(view, start) or _JSON_KEY.match(view.low):
        return
    value = _first_value(view, start)
    if value is None and (hedge := _HEDGE.match(view.low, start)):
        value = _first_value(view, hedge.end())
        value = None if value and value.by == "letter" else value  # letters: cues/before.py: MENTIONS
    if value is None and (number := _NUMBER.match(view.low, start)):
        value = _first_value(view, number.end()) or letter_with_text(view, number.end())
        if value and (value.by == "letter" or (value.by == "text" and _numbered(view, value.end))):
            return
    if value is None and view.low.startswith("not ", start):
        value = value_at(view, start)  # "Not A, but B."
    if value and value.by == "letter" and _TWO_LETTERS.match(view.low, value.start):
        value = value._replace(letter=AMBIGUOUS)  # "A: B"
    if value and value.letter == AMBIGUOUS and _PLURAL_WRONG.match(view.low, start):
        return  # "A, B and D are wrong": what is left is said later
    if value and ("is incorrect" in view.low or "is wrong" in view.low) and _taken_back(view, value):
        return
    if value and value.by == "letter" and _VERDICT.match(view.low, start):
        return
    if value and ((value.by == "text" and _goes_through(view, value)) or _labelled_on(view, value)):
        return
    if (
        value
        and not called_wrong(view, value)
        and not governing.asked(view.low, value.end - 1 if value.by == "letter" else value.end)
    ):
        yield candidate(view, "first_line", cues.FIRST, start, value)


_PLURAL_WRONG = re.compile(
    r"[^.\n]{0,80}?\bare (?:all |both |clearly )?(?:wrong|incorrect|false|not|ruled out|excluded|unlikely|eliminated)\b"
)
_TWO_LETTERS = re.compile(r"[a-z]\)?\s?[:=>]+\s?\(?[a-z]\)?[\s.]*$")
_HEADING = re.compile(rf"[\s#>\x1e]*(?:{'|'.join(tables.ANSWER_HEADINGS)})[: ]*\n\s*")
_VERDICT = re.compile(
    r"[(\[]?[a-z][)\].:\-– ]{1,3}(?:this |it )?(?:is )?(?:incorrect|wrong|false|correct|true|no|yes|right)\b"
)
# A stray number before the answer, the option's or the question's: "4, Bisoprolol", "4 'b' i.e. …", "1b, which is …".
_NUMBER = re.compile(r"\d{1,3}(?:st|nd|rd|th|%)?(?:[.,:)]|(?=[a-z]\b)|(?=\s))\s?(?:i\.e\.,? |which is )?[\"'(]*")
_JSON_KEY = re.compile(r"\{\s*[\"'][a-z][\"']\s*:")
_NEXT_NUMBER = re.compile(r"(?:^|\s)2[.):]\s")


def _taken_back(view: View, value: Value) -> bool:
    """Whether a later sentence calls the letter wrong: "D is incorrect"."""
    return bool(
        re.search(rf"[.\n]\s*(?:option )?{value.letter.lower()} is (?:incorrect|wrong)\b", view.low[value.end :])
    )


def _numbered(view: View, end: int) -> bool:
    """Whether a numbered list goes on."""
    return bool(_NEXT_NUMBER.search(view.low, end, end + 300))


def _begins_otherwise(view: View, start: int) -> bool:
    """Whether the line begins with a word that is no answer: a quick check before the costly ones."""
    low = view.low
    head = low[start : start + 2]
    return (
        head[:1].isalpha()
        and head.isascii()
        and (head[1:].isalpha() or (head[1:] == " " and head[0].upper() not in view.options.letters))
        and text_at(view, start) is None
        and not low.startswith("not ", start)
        and not _HEDGE.match(low, start)
    )


def _labelled_on(view: View, value: Value) -> bool:
    """Whether the text goes through the options: "A: too weak. B: too slow.", "A (…) is old. B (…) is new."."""
    order = view.options.order
    if view.low.startswith(" (", value.start + 1) and value.letter in order:
        rest = view.low[value.end : value.end + _MAX_LINE]
        return any(f". {other.lower()} (" in rest for other in order if other != value.letter)
    if value.letter not in order[:-1] or not view.low.startswith((":", ")"), value.start + 1):
        return False
    label = f"{order[order.index(value.letter) + 1].lower()}{view.low[value.start + 1]}"
    line_end = view.low.find("\n", value.end)
    line = view.low[value.end : line_end if line_end >= 0 else len(view.low)]
    if any(f"{mark} {label}" in line for mark in ".;"):
        return True
    mark = label[1]  # "A) 10% B) 70% C) 15%"
    return all(f" {other.lower()}{mark}" in line for other in order if other > value.letter)


def _goes_through(view: View, value: Value) -> bool:
    """Whether the next sentence is another option's text too: the options are said one after the other."""
    follow = _STOPPED.match(view.low, value.end)
    after = text_at(view, follow.end()) if follow else None
    return bool(after and after[0].letter != value.letter and _STOPS.match(view.low, after[1]))


def _first_value(view: View, start: int) -> Value | None:
    low = view.low
    opened = _OPEN.match(low, start).end()  # type: ignore[union-attr]
    found = text_at(view, opened)
    letter = low[opened : opened + 1].upper()
    labelled = letter in view.options.letters and not low[opened + 1 : opened + 2].isalnum()
    if found and not separated_initial(view, opened, found[0]):
        ends = (_WEAK_ENDS if found[0].weak else _TEXT_ENDS).match(low, found[1])
        if bracket := _LETTER_AFTER.match(low, found[1]):
            ends = _BRACKET_ENDS.match(low, bracket.end())
        follow = _CLOSED.match(low, found[1])
        again = text_at(view, follow.end()) if follow else None  # the same text again, as small models do
        if (
            ends
            or (again and again[0].letter == found[0].letter and not found[0].weak)
            or low.startswith((", option", " over ", " rather than"), found[1])
        ):
            return value_at(view, opened)
        return None
    if not labelled:
        return None
    ends = _AFTER_LETTER.match(low, opened + 1)
    value = letter_at(view, opened, sure=True)
    if value and value.letter != AMBIGUOUS and value.by == "both":
        return value
    if not ends or (value is None and not ends):
        return None
    if value is None and view.text[opened].isupper() and (explained := _explained(view, opened)):
        return explained
    if value and value.letter == AMBIGUOUS and opened == start and low[opened + 1 : opened + 2] == ":":
        return value
    return value


def _explained(view: View, at: int) -> Value | None:
    """A capital letter, a full stop and a sentence: "B. It slows the heart"; "B is …" is no answer by itself."""
    after = view.text[at + 1 : at + 5]
    goes_on = re.match(r"[.):\]] ?[A-Z\n(]|\s*[-–—:] ", after)
    if goes_on and not _SECOND.match(view.low, at + 1):
        return Value(view.text[at], at, at + 1, "letter")
    return None


def _enumerated(view: View, start: int) -> bool:
    """Whether the output begins with the options one below the other: then its first line is no answer."""
    line_end = view.low.find("\n", start)
    if line_end < 0:
        return False
    order = view.options.order
    head, label = view.low[start : start + 4], None
    if found := _LABEL.match(head):
        label = found.group(1).upper()
    elif len(view.low[start:line_end].strip(_ENDS)) == 1:
        label = view.low[start:line_end].strip(_ENDS).upper()
    following = view.low[line_end : line_end + _MAX_LINE].lstrip("\n ")
    if label is None:
        first, second = (
            text_at(view, start),
            text_at(
                view,
                line_end + len(view.low[line_end : line_end + 9]) - len(view.low[line_end : line_end + 9].lstrip()),
            ),
        )
        return bool(first and second and order.index(second[0].letter) == order.index(first[0].letter) + 1)
    if label not in order:
        return False
    if order.index(label) + 1 >= len(order):
        return False
    nxt = order[order.index(label) + 1]
    found = _LABEL.match(following)
    right_below = found is not None and view.low[line_end : line_end + 2] != "\n\n"
    after = text_at(view, _after_label(view, line_end)) if right_below else None
    if after and not view.low[after[1] :].split("\n", 1)[0].strip(_ENDS):
        return True
    if found and found.group(1).upper() == nxt:
        return True
    return following.split("\n", 1)[0].strip(_ENDS).upper() == nxt


def _after_label(view: View, line_end: int) -> int:
    found = _LABEL.match(view.low, line_end + 1)
    end = found.end() if found else line_end + 1
    return end + 1 if view.low[end : end + 1] == " " else end


def last_line(view: View) -> Iterator[Candidate]:
    """A last line that is a letter, an option's text, or both, and a last sentence that is a letter."""
    low = view.low.rstrip(" \n\x1e")
    rows = low.rsplit("\n", view.options.lines)
    for count in range(1, min(view.options.lines, len(rows)) + 1):
        begin = len(low) - sum(len(row) + 1 for row in rows[-count:]) + 1
        value = _whole(view, max(0, begin), len(low))
        if value and begin > 0 and _NUMBERED_LINE.match(low, max(0, begin)):
            return
        if value:
            if not _walked(view, max(0, begin), value.letter):
                yield candidate(view, "last_line", cues.FIRST - 5 if count == 1 else cues.WEAK, value.start, value)
            return
    if sentence := _SENTENCE_LETTER.search(view.text, max(0, len(low) - 12), len(low)):
        value = letter_at(view, sentence.start(1), sure=True)
        if value and not _DENIED_LETTER.search(low[: sentence.start(1)]):
            yield candidate(view, "last_line", cues.FIRST - 5, value.start, value)


_NUMBERED_LINE = re.compile(r"\s*\d{1,3}[.)](?!\d)")
_DENIED_LETTER = re.compile(
    r"\b(?:not|no|nor|never)[.!?]? $|\b(?:least|less|un)[ -]?likely: $|\b(?:worst|incorrect|wrong|false): $"
)
_SENTENCE_LETTER = re.compile(r"(?<!\d)[.!?:]\s[\"'(\[]*([A-Z])[\"')\].!]*$")


def _whole(view: View, begin: int, end: int) -> Value | None:
    """The option that view.low[begin:end] is, whole."""
    if end - begin > _MAX_LINE:
        return None
    start = _BULLET.match(view.low, begin, end).end()  # type: ignore[union-attr]
    found = text_at(view, start)
    if not found and end - start > 1 and view.low[start : start + 2].isalpha():
        return None  # a word
    while not found and start < end and view.low[start] in "([{\"'<":
        start += 1
        found = text_at(view, start)
    bare = view.low[start:end].strip(_ENDS)
    if (
        len(bare) == 1
        and bare.upper() in view.options.letters
        and not {view.text[start:end].strip(_ENDS)} & view.options.confused
    ):
        at = view.low.index(bare, start)
        return Value(bare.upper(), at, at + 1, "letter")
    if not bare:
        return None
    if found and not separated_initial(view, start, found[0]):
        rest = view.low[found[1] : end].strip(_ENDS)
        if not rest:
            return Value(found[0].letter, start, found[1], "text")
        if len(rest) == 1 and rest.upper() in view.options.letters:
            same = rest.upper() == found[0].letter
            return Value(found[0].letter if same else AMBIGUOUS, start, end, "both")
        return None
    letter = view.low[start : start + 1].upper()
    if letter in view.options.letters and not view.low[start + 1 : start + 2].isalnum():
        value = letter_at(view, start, sure=True)
        if value and value.by == "both" and not tokens_of(view.low, value.end, end):
            return value
        if value and value.letter == AMBIGUOUS and not _LONG_WORD.search(view.low, value.end, end):
            return value
    return None


_LONG_WORD = re.compile(r"[^\W\d_]{4}")


def _walked(view: View, begin: int, letter: str) -> bool:
    """Whether the last line only goes on with a list of the options: other lines begin with their labels."""
    if letter == AMBIGUOUS or letter not in view.options.order:
        return False
    place = view.options.order.index(letter)
    head = view.low[:begin].rstrip(" \n\x1e")
    if not head:
        return False
    rows = head.rsplit("\n", view.options.lines)
    for count in range(2, min(view.options.lines, len(rows)) + 1):  # options that are tables
        above = _whole(view, len(head) - len("\n".join(rows[-count:])), len(head))
        if above and above.letter != letter:
            return True
    row = rows[-1]
    if view.low[len(head) : begin].count("\n") < 2:  # the line right above is another option
        above = _whole(view, len(head) - len(row), len(head))
        if above and above.letter != letter and above.by == "both":
            return True
    if place == 0:
        return False
    label = _LABEL.match(row)
    before = view.options.order[place - 1]
    if label and label.group(1).upper() == before:
        return True
    if row.strip(_ENDS).upper() == before:
        return True
    at = len(head) - len(row)
    found = text_at(view, at + len(row) - len(row.lstrip(" -#>•")))
    return bool(found and found[0].letter == before and not view.low[found[1] : len(head)].strip(_ENDS))
