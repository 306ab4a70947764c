"""What extraction reads: an output without its markup, and an item's options in the same spelling."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

# Curly quotes, no-break spaces and full-width brackets as plain ones; emphasis and code marks removed.
_FOLD = str.maketrans(
    {
        **dict.fromkeys("*`$", None),
        **dict.fromkeys("“”„«»″", '"'),
        **dict.fromkeys("‘’‚′", "'"),
        **dict.fromkeys("\u00a0\u2007\u202f\t\x0b\x0c", " "),
        **dict.fromkeys("\r\u0085\u2028\u2029", "\n"),
        **{"（": "(", "）": ")", "：": ":", "［": "[", "］": "]", "．": ".", "。": ".", "，": ","},
    }
)
_LATEX = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathsf|mathit|mbox|rm|bf)\s*\{([^{}]*)\}")
_LATEX_MARKS = re.compile(r"\\[()\[\],;! ]")
# Formatting tags only, whole ones only: `x <b and c> d` and `p < a` compare, and other tags may mark an answer.
_TAG = re.compile(
    r"<(?P<close>/?)(?:(?P<block>p|br|div|li|ul|ol|h[1-6])|(?P<inline>b|i|u|em|strong|span|a|code|sub|sup|mark|small))"
    r"(?P<rest>(?:\s+[\w:-]+\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>=]+))*\s*/?)>",
    re.IGNORECASE,
)
_FORMATTED = re.compile(r"[\w(\[\"']|<(?!/)")  # what may follow an opening tag that is never closed
_LABEL = re.compile(r"[\s#>\-]*[(\[]?([a-z])[).\]:]", re.IGNORECASE)
_SPACES = re.compile(r" {2,}")
# What begins and ends a thought: <think> and </think>; `## Thinking` and the next heading of that level (HuatuoGPT-o1,
# MedReason); a line `think` and a line `answer` (m1: what is left of its marks without the special token).
_THOUGHT_MARK = re.compile(
    r"<(?P<tag>/?think)>|^##? (?P<heading>.+)$|^(?:<\|im_start\|>)?(?P<line>(?-i:think|answer))[ \t\r]*$",
    re.IGNORECASE | re.MULTILINE,
)
# Texts too common in ordinary sentences to be found inside one: they count only where they stand alone.
_COMMON = frozenset(
    ["yes", "no", "maybe", "none", "all", "both", "neither", "true", "false", "other", "unknown", "normal"]
)


@dataclass(frozen=True)
class Options:
    """An item's options, ready to be looked for: `texts` are lower-case, longest first, none of them one letter."""

    letters: tuple[str, ...]
    texts: tuple[tuple[str, str], ...]
    text_of: Mapping[str, str]
    lines: int  # of the longest text: a table can be an option

    def weak(self, text: str) -> bool:
        """Whether a text must stand alone to count: yes, no, 12, IgE, ..."""
        return len(text) < 4 or text in _COMMON or not any(c.isalpha() for c in text)


def prepare(options: Mapping[str, str]) -> Options:
    """Options in the spelling of `clean`; texts that differ only in case (AA, Aa) are left to their letters."""
    return _prepare(tuple(options.items()))


@lru_cache(maxsize=4096)
def _prepare(pairs: tuple[tuple[str, str], ...]) -> Options:
    text_of = {letter: _option_text(text) for letter, text in pairs}
    owners: dict[str, list[str]] = {}
    for letter, text in text_of.items():
        owners.setdefault(text, []).append(letter)
    lines = max((len(clean(text).strip().splitlines()) for _, text in pairs), default=1)
    usable = [
        (text, letters[0])
        for text, letters in owners.items()
        if text and not (len(text) == 1 and text.isalpha()) and len(letters) == 1
    ]
    return Options(tuple(text_of), tuple(sorted(usable, key=lambda pair: -len(pair[0]))), text_of, lines)


def _option_text(text: str) -> str:
    return lower(" ".join(clean(text).split())).rstrip(" .;,")


def label(line: str) -> str | None:
    """The letter that a line of a list begins with: `b. text`, `(b) text`, `- b: text`."""
    found = _LABEL.match(line)
    return found.group(1).upper() if found else None


def without_thought(text: str) -> str | None:
    """The text outside closed thoughts; None when a thought is still open at the end.

    A closing </think> or `## Final Response` without its opening mark (the chat template or a given opening stood
    there) closes a thought that began with the output.
    """
    low = text.lower()
    if "think" not in low and "## final response" not in low:
        return text
    kept: list[str] = []
    start, inside = 0, ""
    for mark in _THOUGHT_MARK.finditer(text):
        kind = str(mark.lastgroup)
        opens, closes = _thought_mark(kind, mark[kind].lower())
        if opens and not inside:
            kept.append(text[start : mark.start()])
            inside = kind
        elif (inside == kind and not opens) or (closes and not inside):
            if not inside:
                kept.clear()
            # A heading may hold the answer itself.
            start, inside = mark.start() if kind == "heading" else mark.end(), ""
    return None if inside else "".join(kept) + text[start:]


def _thought_mark(kind: str, word: str) -> tuple[bool, bool]:
    """Whether a mark opens a thought, and whether it closes one that no mark opened."""
    word = word.strip(" *:#\r\t")
    opens = word == ("thinking" if kind == "heading" else "think")
    return opens, word in ("/think", "final response")


def clean(text: str) -> str:
    """`text` without bold, code, LaTeX and HTML markup, single-spaced, its lines kept."""
    if "&" in text:
        text = html.unescape(text)
    text = without_tags(text.translate(_FOLD))  # folded first: the quotes around an attribute may be curly
    if "\\" in text:
        previous = ""
        while previous != text:
            previous, text = text, _LATEX.sub(r"\1", text)
        text = _LATEX_MARKS.sub("", text)
    return _SPACES.sub(" ", text.replace("__", "") if "__" in text else text)


def without_tags(text: str) -> str:
    """`text` without HTML formatting tags: a line break for a block's, nothing for one inside a line.

    A lone `<B>` with nothing to format stays: it is a letter that fills in a form's `<letter>`.
    """
    if "<" not in text or ">" not in text:
        return text
    closed = {_name(tag): tag.start() for tag in _TAG.finditer(text) if tag["close"]}  # the last of each name

    def replaced(tag: re.Match[str]) -> str:
        name = _name(tag)
        alone = len(name) == 1 and not (tag["close"] or tag["rest"]) and closed.get(name, -1) < tag.end()
        if alone and not _FORMATTED.match(text, tag.end()):
            return tag.group()
        return "\n" if tag["block"] else ""

    return _TAG.sub(replaced, text)


def _name(tag: re.Match[str]) -> str:
    return (tag["block"] or tag["inline"]).lower()


def lower(text: str) -> str:
    """Lower case with every character in its place (a few letters grow when lowered: those stay)."""
    low = text.lower()
    if len(low) == len(text):
        return low
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
