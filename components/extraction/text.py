"""An output without its markup: what the engine reads, character by character what a person sees."""

from __future__ import annotations

import html
import re
import unicodedata

from components.extraction import tables

ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069\ufe0f"
_FOLD: dict[str, str] = {
        **dict.fromkeys("*`$", ""),
        **dict.fromkeys("“”„«»″", '"'),
        **dict.fromkeys("‘’‚′", "'"),
        **dict.fromkeys("\u00a0\u2007\u202f\u3000\t\x0b\x0c", " "),
        **dict.fromkeys("\r\u0085\u2028\u2029", "\n"),
        **dict.fromkeys("−﹣－‐‑‒", "-"),
        **{"（": "(", "）": ")", "：": ":", "［": "[", "］": "]", "．": ".", "。": ".", "，": ",", "；": ";"},
        **{"！": "!"},
        **{"？": "?", "【": "[", "】": "]", "《": "[", "》": "]", "「": '"', "」": '"', "『": '"', "』": '"'},
        **{"｛": "{", "｝": "}"},
        **{"｜": "|", "⁄": "/", "∕": "/", "×": "x", "％": "%"},
        **{chr(0x1F150 + k): chr(65 + k) for k in range(26)},  # letters in filled circles and squares
        **{chr(0x1F170 + k): chr(65 + k) for k in range(26)},
        **{chr(0x1F130 + k): chr(65 + k) for k in range(26)},
}  # fmt: skip
_ASCII_FOLD = (("*", ""), ("`", ""), ("$", ""), ("\t", " "), ("\x0b", " "), ("\x0c", " "), ("\r", "\n"))
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_SUPERSCRIPTS = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_SUPERSCRIPT_SIGNS, _ZERO_WIDTH_SIGNS = frozenset("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"), frozenset(ZERO_WIDTH)
_LOOKALIKE_SIGNS = frozenset("АВСЕНІКМОРТХ")
_LOOKALIKE = str.maketrans("АВСЕНІІКМОРТХ", "ABCEHIIKMOPTX")
_LONE_CYRILLIC = re.compile(r"(?<!\w)[АВСЕНІКМОРТХ](?!\w)")
_CYRILLIC = re.compile(r"[Ѐ-ӿ]{2}")
_ZERO_WIDTH_IN_WORD = re.compile(rf"(?<=[a-z])[{ZERO_WIDTH}]+(?=[a-z])")
_ZERO_WIDTH_RUN = re.compile(rf"[{ZERO_WIDTH}]+")
_DASH_SIGN = re.compile(r"(?<![\w)\]])[–—](?=\d)")  # a dash before a number is its sign
# A literal "\n" that is no LaTeX command.
_LITERAL_NEWLINE = re.compile(
    r"\\r?\\n|\\n(?!(?:eq|u|abla|ot|e|ewline|i|leq|geq|mid|earrow|ormalsize|onumber)(?![a-z]))"
)
_LATEX = re.compile(
    r"\\(?:text|textbf|textit|textrm|textsf|texttt|textnormal|textsc|emph|underline|mathrm|mathbf|mathsf|mathit|mathtt"
    r"|mathcal|mathbb|boldsymbol|bm|mbox|hbox|rm|bf|operatorname|fbox|framebox|large|Large|ce)\*?\s*\{([^{}]*)\}"
)
_LATEX_WORD = re.compile(
    r"\\(?:displaystyle|textstyle|large|Large|LARGE|huge|Huge|small|normalsize|quad|qquad|bf|rm|it|left|right"
    r"|bigl?|bigr?"
    r"|Big|hspace|vspace|,|;|!|:| |~|newline)(?![a-zA-Z])"
)
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]{1,40})\}\s*\{([^{}]{1,40})\}")
_LATEX_SIGNS = {
    "\\times": "x", "\\cdot": "·", "\\pm": "±", "\\leq": "≤", "\\geq": "≥", "\\le": "≤", "\\ge": "≥", "\\approx": "≈",
    "\\rightarrow": "→", "\\to": "→", "\\Rightarrow": "⇒", "\\uparrow": "↑", "\\downarrow": "↓", "\\therefore": "∴",
    "\\implies": "⇒", "\\degree": "°", "\\circ": "°", "\\sim": "~",
}  # fmt: skip
_LATEX_SIGN = re.compile(
    r"\\(?:" + "|".join(sorted((s[1:] for s in _LATEX_SIGNS), key=len, reverse=True)) + r")(?![a-zA-Z])"
)
_GREEK_COMMAND = re.compile(
    r"\\(alpha|beta|gamma|delta|epsilon|zeta|eta|theta|kappa|lambda|mu|nu|pi|rho|sigma|tau|phi|chi|psi|omega|Delta"
    r"|Gamma|Omega|Sigma)(?![a-zA-Z])"
)
_SCRIPT_BRACES = re.compile(r"([_^])\{([^{}]{1,12})\}")
_SUBSCRIPT = re.compile(r"(?<=[A-Za-z])_(?=\d)")
_LATEX_MARKS = re.compile(r"\\[()\[\],;! ]")
_ESCAPED = re.compile(r"\\([%&#_])")
_LINK = re.compile(r"\[([^\[\]\n]{1,80})\]\((?:#|https?:|/|mailto:)[^)\s]{0,200}\)")
# Formatting tags only, whole ones only: `x <b and c> d` and `p < a` compare, and other tags may mark an answer.
_TAG = re.compile(
    r"<(?P<close>/?)(?:(?P<block>p|br|div|li|ul|ol|h[1-6])|(?P<inline>b|i|u|em|strong|span|a|code|sub|sup|mark|small))"
    r"(?P<rest>(?:\s+[\w:-]+\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>=]+))*\s*/?)>",
    re.IGNORECASE,
)
_STRUCK = re.compile(r"~~[^~\n]{1,200}~~|<(del|strike)>[^\n]{0,200}?</\1>")  # what a model took back itself
_FORMATTED = re.compile(r"[\w(\[\"']|<(?!/)")  # what may follow an opening tag that is never closed
_SPECIAL = re.compile(
    "(?:" + "|".join(tables.SPECIAL_TOKENS) + r")(?:(?:" + "|".join(tables.ROLES) + r")(?=\s))?", re.I
)
SPECIAL_MARK = "\x1e"  # stands where special tokens stood


def clean(text: str) -> str:
    """`text` without bold, code, LaTeX, HTML and invisible marks, single-spaced, its lines kept."""
    if "&" in text:
        text = html.unescape(text)
    if text.isascii():
        for sign, plain in _ASCII_FOLD:
            if sign in text:
                text = text.replace(sign, plain)
    else:
        text = _unicode(text)
    if "~~" in text or "<del>" in text or "<strike>" in text:
        text = _STRUCK.sub("", text)
    text = without_tags(text)
    if "\\" in text:
        text = _latex(text)
    if "](" in text:
        text = _LINK.sub(r"\1", text)
    if "__" in text:
        text = text.replace("__", "")
    while "  " in text:
        text = text.replace("  ", " ")
    return text


def _unicode(text: str) -> str:
    signs = set(text)
    if signs & _SUPERSCRIPT_SIGNS:
        text = _SUPERSCRIPTS.sub(lambda m: "^" + m.group().translate(_SUPERSCRIPT), text)
    if signs & _ZERO_WIDTH_SIGNS:
        text = _ZERO_WIDTH_RUN.sub(" ", _ZERO_WIDTH_IN_WORD.sub("", text))
    text = _folded(text, signs)
    if not unicodedata.is_normalized("NFKC", text):
        text = unicodedata.normalize("NFKC", text)
        text = _folded(text, set(text))
    if signs & _LOOKALIKE_SIGNS and not _CYRILLIC.search(text):  # in a Russian text "В" is no B
        text = _LONE_CYRILLIC.sub(lambda m: m.group().translate(_LOOKALIKE), text)
    return _DASH_SIGN.sub("-", text) if "–" in signs or "—" in signs else text


def _folded(text: str, signs: set[str]) -> str:
    """`text` with every sign of the table replaced; translating would look at each character."""
    for sign in signs & _FOLD.keys():
        text = text.replace(sign, _FOLD[sign])
    return text


def _latex(text: str) -> str:
    if "\\n" in text or "\\r" in text:
        text = _LITERAL_NEWLINE.sub("\n", text)
    text = _LATEX_SIGN.sub(lambda m: _LATEX_SIGNS[m.group()], _ESCAPED.sub(r"\1", text))
    text = _GREEK_COMMAND.sub(r"\1", _LATEX_FRACTION.sub(r"\1/\2", text))
    text = _SUBSCRIPT.sub("", _SCRIPT_BRACES.sub(lambda m: m.group(2) if m.group(1) == "_" else "^" + m.group(2), text))
    for _ in range(6):
        text, changed = _LATEX.subn(r"\1", text)
        if not changed:
            break
    return _LATEX_MARKS.sub(" ", _LATEX_WORD.sub(" ", text)).replace("~", " ")


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


def mark_special(text: str) -> str:
    """`text` with every special token replaced by SPECIAL_MARK."""
    if "<" in text or "[" in text or "◁" in text:
        return _SPECIAL.sub(SPECIAL_MARK + "\n", text)
    return text


def lower(text: str) -> str:
    """Lower case with every character in its place (a few letters grow when lowered: those stay)."""
    low = text.lower()
    if len(low) == len(text):
        return low
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
