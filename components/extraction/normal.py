"""One normalisation for outputs and options, and an item's options prepared for it.

A text is compared as its tokens: words (accents folded, Greek letters spelled out), numbers with their sign, and signs
that carry meaning (+, %, <, arrows). Punctuation, hyphens and spaces do not count, so "E.coli" is "E. coli".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from components.extraction import tables
from components.extraction.text import clean, lower

TOKEN = re.compile(
    r"[^\W\d_]+"
    r"|(?<![\w)\]])[-+]?(?:\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?|\d+(?:\.\d+)*|\.\d+)|\d{1,3}(?:,\d{3})+(?![\d,])"
    r"|\d+(?:\.\d+)*"
    r"|[^\w\s.,;:!?'\"()\[\]{}_|*#\\/^\-–—…·•@&¿¡\x00-\x1f]"
)
_GREEK_NAMES = (
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "omicron", "pi", "rho", "sigma", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
)  # fmt: skip
_GREEK = dict(
    zip(
        "αβγδεζηθικλμνξοπρσςτυφχψω",
        _GREEK_NAMES,
        strict=True,
    )
)  # fmt: skip
# Texts too common in ordinary sentences to be found inside one: they count only where they stand alone.
COMMON = frozenset(
    ["yes", "no", "maybe", "none", "all", "both", "neither", "true", "false", "other", "unknown", "normal"]
)
_BAKED = re.compile(r"[(\[]?([a-z])\s?[.):\]]\s*(?=\S)")
_SPECIES = re.compile(r"([A-Z])[a-z]{4,} ([a-z]{3,}(?:us|um|is|ii|ae|ans|ens|es|os|ys|i|a|e|x))")  # of Latin names
_APART = re.compile(r"^-\s+(?=[\d.])")  # "- 5" is -5 in an option
_ARTICLE = frozenset(["a", "an", "the"])
# Questions whose options are kept ready, 7 kB each: more than the published set's 12,609, since answers of one setting
# come after those of another.
MOST_PREPARED = 16_384
GAP, TABLE_GAP = 12, 80  # characters that may stand between two words of one text, and of one table


@dataclass(frozen=True)
class Text:
    """One way to write an option: its tokens, and what finding it needs to know."""

    tokens: tuple[str, ...]
    letter: str
    weak: bool  # yes, no, 12, IgE: it must stand alone
    initial: bool  # begins with a letter and a full stop, as "E. coli" does
    tail: str = ""  # the question or exclamation mark with which it ends
    plain: str = ""  # the tokens joined by spaces, if all are plain words: a text can be compared with it at once
    strict: str = ""  # where tokens are not enough (AA, Aa): the text as written, without spaces


@dataclass(frozen=True)
class Options:
    """An item's options: their letters, and their texts by first token, the longest first."""

    letters: frozenset[str]
    order: tuple[str, ...]
    by_first: Mapping[str, tuple[Text, ...]]
    lines: int  # of the longest text: a table can be an option
    longest: int  # tokens
    texts: tuple[Text, ...] = field(default=())
    own: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # each letter's tokens, also of texts that are twins
    starts: frozenset[str] = frozenset()  # the first characters of all texts
    lasts: frozenset[str] = frozenset()  # the last tokens of all texts
    lone: Mapping[str, str] = field(default_factory=dict)  # options whose text is one letter
    confused: frozenset[str] = frozenset()  # letters, as written, that are also another option's text
    signed: frozenset[str] = frozenset()  # numbers that occur with and without a minus
    twins: frozenset[str] = frozenset()  # letters whose text is another option's, too


def fold(token: str) -> str:
    """A token in plain letters: accents dropped, Greek spelled out, 1,000 as 1000, .5 as 0.5."""
    if token.isalpha() and token.isascii():
        return token
    if not token.isascii():
        token = "".join(_GREEK.get(c, c) for c in token)
        bare = "".join(c for c in unicodedata.normalize("NFKD", token) if not unicodedata.combining(c)).strip()
        token = bare or token
    if "," in token and token[-1].isdigit():
        token = token.replace(",", "")
    if token[0] == "." or token[:2] in ("-.", "+."):
        token = token.replace(".", "0.", 1)
    return token


def tokens_of(low: str, start: int = 0, end: int | None = None, limit: int | None = None) -> list[tuple[str, int, int]]:
    """(token, start, end) of the lower-case text, at most `limit` of them."""
    found = []
    for match in TOKEN.finditer(low, start, len(low) if end is None else end):
        token = match[0]
        if not (token.isalpha() and token.isascii()):
            token = fold(token)
        found.append((token, *match.span()))
        if limit is not None and len(found) >= limit:
            break
    return found


def together(low: str, end: int, start: int) -> bool:
    """Whether two words that end and start there can belong to one text."""
    return start - end <= GAP or (start - end <= TABLE_GAP and "|" in low[end:start])


def prepare(options: Mapping[str, str]) -> Options:
    """The options in the spelling in which outputs are read."""
    return _prepare(tuple(options.items()))


@lru_cache(maxsize=MOST_PREPARED)
def _prepare(pairs: tuple[tuple[str, str], ...]) -> Options:
    letters = frozenset(letter for letter, _ in pairs)
    cleaned = {letter: clean(text).strip() for letter, text in pairs}
    written = {letter: _written(text, letters) for letter, text in cleaned.items()}
    texts = _usable(written, cleaned)
    by_first: dict[str, list[Text]] = {}
    for text in sorted(texts, key=lambda t: -len(t.tokens)):
        by_first.setdefault(text.tokens[0], []).append(text)
    lone = {letter: text.strip(" .") for letter, text in cleaned.items() if len(text.strip(" .")) == 1}
    # Where all texts are single letters, or a text is a small letter, "c" may be the text "c" or the letter C.
    confused = {
        text
        for letter, text in lone.items()
        if text.upper() in letters and text.upper() != letter and (text.islower() or len(lone) == len(pairs))
    }
    numbers = {text.tokens[0] for text in texts}
    return Options(
        letters,
        tuple(letter for letter, _ in pairs),
        {first: tuple(group) for first, group in by_first.items()},
        max((len(text.splitlines()) for text in cleaned.values()), default=1),
        max((len(text.tokens) for text in texts), default=1),
        tuple(texts),
        {letter: ways[0] for letter, ways in written.items() if ways and len(ways[0]) <= 40},
        frozenset(first[0] for first in by_first) | frozenset("0123456789.+-"),
        frozenset(text.tokens[-1] for text in texts),
        lone,
        frozenset(confused),
        frozenset(n for n in numbers if "-" + n in numbers),
        frozenset(letter for letter, ways in written.items() if ways) - {text.letter for text in texts},
    )


def _written(text: str, letters: frozenset[str]) -> list[tuple[str, ...]]:
    """The tokens of a text: as it is, then without its article or the label that is baked into it, and in other forms.

    "Start heparin" is also "starting heparin" and "started heparin"; "Staphylococcus aureus" is also "S. aureus".
    """
    low = _APART.sub("-", lower(text))
    whole = tuple(token for token, _, _ in tokens_of(low))
    ways = [whole]
    if len(whole) > 2 and whole[0] in _ARTICLE:
        ways.append(whole[1:])
    baked = _BAKED.match(low)
    if baked and baked.group(1).upper() in letters and len(whole) > 1 and len(baked.group(1)) == 1:
        ways.append(whole[1:])
    if len(whole) > 4 and len(short := tuple(token for token in whole if token not in _ARTICLE)) < len(whole):
        ways.append(short)
    if len(whole) > 1 and (forms := tables.VERB_FORMS.get(whole[0])):
        ways.extend((form, *whole[1:]) for form in forms)
    if (name := _SPECIES.fullmatch(text.strip())) and name.group(1).upper() not in letters:
        ways.append((name.group(1).lower(), name.group(2)))
    # One letter that is also an option's letter is that option's; other single letters (blood group O) are texts.
    return [way for way in ways if way and not (len(way) == 1 and len(way[0]) == 1 and way[0].upper() in letters)]


def _usable(written: dict[str, list[tuple[str, ...]]], cleaned: dict[str, str]) -> list[Text]:
    """Texts that are one option's only; twins that differ as written (AA, Aa) are told apart by that."""
    owners: dict[tuple[str, ...], set[str]] = {}
    for letter, ways in written.items():
        for way in ways:
            owners.setdefault(way, set()).add(letter)
    raw = {letter: "".join(text.split()).rstrip(".;,") for letter, text in cleaned.items()}
    texts = []
    for letter, ways in written.items():
        initial = (
            re.match(r"[a-zA-Z]\s?\.|[(\[]?a[)\]].*\bb[)\]]", cleaned[letter], re.IGNORECASE | re.DOTALL) is not None
        )
        end = cleaned[letter].rstrip(" \"'.)")[-1:]
        tail = end if end in ("?", "!") else ""
        for place, way in enumerate(ways):
            weak = _weak(way, cleaned[letter])
            if len(owners[way]) == 1:
                texts.append(Text(way, letter, weak, initial, tail, _plain(way)))
            elif place == 0 and list(raw.values()).count(raw[letter]) == 1:
                texts.append(Text(way, letter, weak, initial, tail, "", raw[letter]))
    return texts


def _plain(tokens: tuple[str, ...]) -> str:
    joined = " ".join(tokens)
    return joined if joined.isascii() and joined.replace(" ", "").isalpha() else ""


def _weak(tokens: tuple[str, ...], text: str) -> bool:
    joined = "".join(tokens)
    return len(text) < 4 or joined in COMMON or not any(c.isalpha() for c in joined)
