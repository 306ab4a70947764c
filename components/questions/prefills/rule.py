"""Which model-written openings are used: one that names exactly one option, a wrong one, briefly.

Strict on purpose. A rejected opening is asked again and in the end replaced by a template, an accepted one that names
the right option, two options or none would measure something else than it says.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from components.extraction import without_tags, without_thought
from components.questions.items import Item, normalise

MAX_WORDS = 30  # besides the option's text
RULE_VERSION = "2"

_TEXT = "□"  # stands for an option's text where letters are looked for
# A letter on its own: none of `I'd`, `patient's`, `x-ray`, `e.g.`.
_LETTER = re.compile(
    r"(?<![^\W_])(?<![^\W_]['’\-])(?<!\b[a-z]\.)([a-z])(?![^\W_])(?!['’](?!s\b)\w|-\w|\.[a-z]\b)", re.IGNORECASE
)
_OPENED, _SHUT = re.compile(r"[(\[\"“'‘]\s*$"), re.compile(r"\s*[)\]\"”'’]")
_MARKED = re.compile(r"\b(?:option|choice|answer|letter)[\s:\"'“‘(\[]{1,3}$", re.I)
_SAID = re.compile(
    r"\b(?:option|choice|answer|letter)\s+(?:is|was|would be|could be|might be|may be|must be|should be)"
    r"[\s:\"'“‘(\[]{1,3}$",
    re.I,
)
# What follows no article and no pronoun, what follows no article, and what follows a letter more often than a name.
_ENDED = re.compile(
    r"\s*$|[\"'”’*_]*[.,;:!?)\]=]|\s*[–—→=]|\s+-|\s+(?:or|and|because|since|as|but|though|although)\b", re.I
)
_VERB = re.compile(r"\s+(?:is|was|seems?|looks?|sounds?|feels?|fits?)\b", re.I)
_MODAL = re.compile(r"\s+(?:may|might|could|would|can|should)\b", re.I)
_GOES_ON = re.compile(
    r"\s+(?:here|for|if|instead|maybe|perhaps|probably|then|over|rather|too|not|given|than|it|i|which|that|most)\b",
    re.I,
)
_WORD, _NUMBER, _SLASH = re.compile(r"\s+\w"), re.compile(r"\d\s+$"), re.compile(r"/\w")
# `hepatitis B`, `vitamin A`, `B cells` and `E. coli` are no choice of an option.
_COMPOUND = re.compile(
    r"\b(?:vitamin|hepatitis|type|group|factor|stage|class|grade|influenza|protein|drug)s?\s+$", re.I
)
_COMPOUND_AFTER = re.compile(
    r"\s+(?:cell|lymphocyte|wave|fib(?:er|re)|antigen|symptom|peptide|protein|receptor|dimer|toxin|virus)(?:s|es)?\b"
    r"|\.\s+(?-i:[a-z]{3})",
    re.I,
)
_CLAUSE = re.compile(r"[,;:.!?()]|\b(?:but|though|although|yet|still|so)\b", re.I)
_DENIAL = re.compile(r"\b(?:not|never|nor|neither|cannot|exclud\w+|rul\w+ out|unlikely|doubt)\b|n['’]t\b", re.I)
_DENIED_AFTER = re.compile(
    r"\b(?:is|are|was|be|seems?|looks?)\s+(?:not|wrong|incorrect|unlikely|ruled out)\b|n['’]t\b", re.I
)
# `2% saline` does not begin inside `0.2% saline`, and `2` is none of `2%`, `2.5`, `1/2`.
_START, _END = r"(?<!\w)(?<!\d[./])", r"(?!\w|%|[./]\d)"
_MARKUP = re.compile(r"<\||\|>|</?think|\n")


@dataclass(frozen=True)
class Verdict:
    """`letter` of the wrong option an accepted opening names, else None and the `reason` why it is not used."""

    letter: str | None
    reason: str = ""


@dataclass(frozen=True)
class _Mention:
    """A letter of an option that stands by itself; not `sure` where it may be part of a name."""

    letter: str
    start: int
    sure: bool


def judge(opening: str, item: Item) -> Verdict:
    """Whether `opening` (what the assistant would already have said) may open the answer to `item`.

    By text an option is named where its words stand whole, longest text first; by letter, in either case, where the
    letter stands alone and is not a pronoun, an article or part of a name. The right option's text may not appear at
    all, not even inside a wrong option's.
    """
    said = opening.strip()
    if not said:
        return Verdict(None, "empty")
    if _MARKUP.search(said):
        return Verdict(None, "several lines or markup")
    said, options = _plain(said), {letter: _plain(text) for letter, text in item.options.items()}
    low, right = normalise(said), normalise(options[item.answer_idx])
    by_text, rest = _by_text(low, options)
    text = _marked(said, options)
    mentions = _mentions(text, options)
    named = by_text | {m.letter for m in mentions if m.sure}
    own = normalise(options[next(iter(named))]) if len(named) == 1 else ""
    unclear = {m.letter for m in mentions if not m.sure and not _quoted(m, text, own)}
    if item.answer_idx in named | unclear or (right and _whole(right).search(low)):
        return Verdict(None, "names the right option")
    if not named:
        return Verdict(None, "names no option")
    if len(named | unclear) > 1:
        return Verdict(None, "names several options")
    if len(rest.split()) > MAX_WORDS:
        return Verdict(None, f"more than {MAX_WORDS} words")
    if _denied(text, {m.start for m in mentions if m.sure}):
        return Verdict(None, "denies the option")
    return Verdict(next(iter(named)))


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


def _plain(text: str) -> str:
    """One spelling of every character, without formatting: `(b)` for `⒝`, `b` for `<i>b</i>`."""
    return without_tags(unicodedata.normalize("NFKC", html.unescape(text)))


def _marked(text: str, options: Mapping[str, str]) -> str:
    """`text` with a mark for every option's text, in any case and punctuation: no letter in there is a choice."""
    for words in sorted((normalise(option).split() for option in options.values()), key=lambda w: -len(" ".join(w))):
        if words:
            spelled = r"[^\w<>≤≥+\-−%/]+".join(re.escape(word) for word in words)
            text = re.sub(rf"{_START}{spelled}{_END}", _TEXT, text, flags=re.IGNORECASE)
    return text


def _mentions(text: str, options: Mapping[str, str]) -> list[_Mention]:
    found = []
    for match in _LETTER.finditer(text):
        sure = _sure(match[1], text[: match.start()], text[match.end() :])
        if match[1].upper() in options and sure is not None:
            found.append(_Mention(match[1].upper(), match.start(), sure))
    return found


def _sure(letter: str, before: str, after: str) -> bool | None:
    """Whether a letter by itself stands for its option; False where it may be part of a name, None where it is a word.

    An unclear letter names nothing and yet keeps an opening from being used: better one opening too few.
    """
    if _OPENED.search(before) and _SHUT.match(after):
        return True
    if letter in "aiI":
        return _sure_word(letter, before, after)
    if _MARKED.search(before) or _SAID.search(before):
        return True
    if _COMPOUND.search(before) or _COMPOUND_AFTER.match(after):
        return False
    goes_on = any(pattern.match(after) for pattern in (_ENDED, _VERB, _MODAL))
    if letter == "A" and re.search(r"(?:^|[.!?]\s+)$", before) and not goes_on:
        return False if after.startswith(f" {_TEXT}") else None  # an article
    if letter.isupper():
        return True
    if _NUMBER.search(before) or _SLASH.match(after):
        return False  # `5 g`, `c/o`
    return goes_on or _GOES_ON.match(after) is not None or not _WORD.match(after)  # `d dimer` is unclear


def _sure_word(letter: str, before: str, after: str) -> bool | None:
    """The same for `a` and `I`, which are an article and a pronoun unless something tells."""
    ended = _ENDED.match(after) is not None
    if _MARKED.search(before):
        if ended or _VERB.match(after) or after.startswith(f" {_TEXT}"):
            return True
        return False if letter == "a" and _MODAL.match(after) else None
    if _SAID.search(before):
        return True if ended else None
    if _COMPOUND.search(before):
        return False
    if letter == "a" and after.startswith(")"):
        return True
    return False if ended else None


def _quoted(mention: _Mention, text: str, own: str) -> bool:
    """Whether a letter and the word beside it are part of the named option's text: `vitamin c` of vitamin C tablets."""
    letter = mention.letter.lower()
    before = normalise(text[: mention.start]).split()[-1:]
    after = normalise(text[mention.start + 1 :]).split()[:1]
    return any(len(two) == 2 and f" {' '.join(two)} " in f" {own} " for two in ([*before, letter], [letter, *after]))


def _denied(text: str, letters: set[int]) -> bool:
    """Whether the clause that names the option denies it; doubts in a clause of their own are welcome.

    The option is named by its text, whose own words (`not covered`) deny nothing, and at `letters`.
    """
    places = sorted({match.start() for match in re.finditer(_TEXT, text)} | letters)
    for place in places:
        before = _CLAUSE.split(text[:place])[-1]
        after = re.split(r"[;.!?]|\b(?:but|though|although)\b", text[place + 1 :], maxsplit=1)[0]
        if _DENIAL.search(before) or _DENIED_AFTER.search(after):
            return True
    return not places and _DENIAL.search(text) is not None


def _whole(text: str) -> re.Pattern[str]:
    return re.compile(rf"{_START}{re.escape(text)}{_END}")
