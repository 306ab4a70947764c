"""Which option is named at a place: a letter, a letter with a text, or a text; forwards and backwards."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from components.extraction import tables
from components.extraction.normal import Text, tokens_of
from components.extraction.places import AMBIGUOUS, Value, View, glued, separated_initial, text_at

_OPENERS = re.compile(r"(?:[\s\"'(\[{<_:=>#,~≈→⇒✅✓✔☑👉|\x1e–—]|\.(?!\d)|-(?![\d.])|\\)*")
_SIGN = re.compile(r"[\s\"'(\[{]*[<>=~≈→⇒–—|]")
_FILLER = re.compile(
    r"(?:the|an?(?= )|option|options|choice|letter|answer|most|likely|probably|clearly|definitely|therefore|thus"
    r"|then|still|also"
    r"|actually|indeed|simply|obviously|in fact|i think|i believe|i would say|i'd say|number|correct|final|best"
    r"|right|only"
    r"|indicated by|given by|either|both|as follows|that|item|is|rather|in my opinion|definite|clear|to"
    r"|approximately|about"
    r"|around|roughly|alternative|variant|opción|alternativa|opzione|réponse|antwort|вариант|选项|選項|选|肢|"
    + f"{tables.ARTICLES}|{tables.FOREIGN_FILLERS}"
    + r"|no\. ?(?=\d))"
    r"(?![^\W_])[\s\"'(\[{<_:,–—-]*"
)
_CLOSERS = re.compile(r"[\"')\]}]*")
_STOP = re.compile(
    r"\s?(?:$|[\n)\]}\"'>;!?<(\[|=\x1e]|\.{2,}|:(?!\d)|\.(?!\w)|\.(?=[A-Z][a-z])|,(?!\d)|\s-\s|\s?- |\s?[–—→❌✅✓✔]"
    r"|[^\x00-\u024f\s])"
)
_CONNECTIVE = re.compile(
    r"\s(?:because|since|as|due|for|based|given|which|rather|but|not|instead|here|therefore|according|so|and"
    r"|in this case|with a confidence|after all|over|explanation|rationale|reason|reasoning|where|that|it)\b"
)
_TEXT_CONNECTIVE = re.compile(r"\s(?:because|since|as|due to|based on|given|which|rather than|but|not|so|here)\b")
_JOIN = re.compile(
    r"[\"')\]}]*\s?(?:,? ?(?:and/or|and|or|as well as|plus|then|also|along with|und|oder|et|ou|y|e|и)\b ?|[和与及或]"
    r"|[&+/,;、-] ?|(?<=[\")\]}]) ?"
    r"|(?: \((?=(?:and|or|also|plus)))|\s)(?:and |or |also |then |option |either |both )*[\"'(\[{]*"
)
_SECOND_TEXT = re.compile(
    r"[\"')\]}]*\s?(?:,? ?(?:and/or|and|or|as well as|plus|und|oder|et)\b ?|[&+/,;、] ?)(?:also |the |an? "
    r"|both )*[\"'(\[{]*"
)
_OPEN_JOIN = re.compile(
    r"[\"')\]}]*\s?(?:and|or|plus|&|\+)\b(?! (?:it|this|that|the|not|its|he|she|they|is|so|therefore|thus|then|we|i)\b)"
)
_NOT_BUT = re.compile(r"not\b[^.\n?!]{1,80}?(?:,? but(?: rather)?|,? rather|, it is|, it's|; it is|; it's)(?= )")
NEGATED_VALUE = re.compile(
    r"(?:not|neither|never|none of (?:these|them)|anything but|everything (?:but|except)|all (?:but|except)|unlikely"
    r"|un(?:clear|known)|no option|don't|do not)\b"
)
_DENIED_VALUE = re.compile(
    r"[^.\n?!]{0,40}?(?:\b(?:is|was|are|would be|can be|should be|seems) (?:\w+ ){0,2}?(?:not|wrong|incorrect"
    r"|excluded|ruled out"
    r"|eliminated|unlikely|contraindicated|false)\b|\b(?:is|was|does|would|can|could|should)n't\b|\bcannot\b|\b"
    r"(?:can|does|do|should|would) not\b)"
)
_SEPARATOR = re.compile(
    r"[\s\"')\]}.:,;\-–—_|>(\[=*~/#→⇒]*(?:(?:approximately|approx\.?|about|around|roughly|circa"
    r"|option|i\.? ?e\.?,?|namely|which is|that is|(?:which )?(?:stands for"
    r"|corresponds to|represents|refers to|means)|is) )?[\"'(\[]*"
)
_RIGHT_AFTER = re.compile(
    r"[\"')\]]* (?:is )?(?:the )?(?:correct|right|best)\b|\s(?:and|but) not\b"
    r"| the (?:only )?(?:false|incorrect|wrong|exception|odd)\b"
)
_OWN_LETTER = re.compile(r"\s?[(\[](?:option |choice )?([a-z])[)\]],?\s\w")
_ARTICLE = re.compile(r"(?:an?|the|it|to) ")
_LONE = re.compile(r"[\"')\]}]*\s?[.:),(\[\-–]*\s?[\"'(]*(\S)(?=[\s.)\]}\"'<]|$)")
_INITIAL = re.compile(r"\. ?([a-z]{3,})")
_LETTER_IN_BRACKETS = re.compile(
    r"[\"'.,]*\s?(?:[(\[]|- |, |,? ?i\.e\.,? )(?:option |choice |answer |letter |i\.e\.,? )*\(?([a-z])[)\].,:]"
    r"|[\"'.,]*\s?, (?:which is )?option \(?([a-z])\b"
)
_LIST_LABEL = re.compile(r"[\s#>\-•]*[(\[]?([a-z])(?:[).\]:]|\s*(?:\n|$))")


def value_at(view: View, pos: int, *, sure: bool = False) -> Value | None:
    """The option named at `pos`, after brackets, quotes and small words; after a colon (`sure`) a lone "a" is one."""
    low = view.low
    for _ in range(7):
        signed = _SIGN.match(low, pos)
        if signed and (found := text_at(view, signed.end() - 1)):  # "> 50 %", "→ shift"
            return _text_value(view, signed.end() - 1, *found)
        pos = _OPENERS.match(low, pos).end()  # type: ignore[union-attr]  # matches the empty string too
        if pos >= len(low):
            return None
        found = text_at(view, pos)
        if found and not separated_initial(view, pos, found[0]):
            return _text_value(view, pos, *found)
        if low[pos] == "n" and (other := _NOT_BUT.match(low, pos)):
            pos = other.end()
            continue
        if NEGATED_VALUE.match(low, pos):
            return None
        value = letter_at(view, pos, sure=sure)
        if value:
            return value
        filler = _FILLER.match(low, pos)
        if not filler:
            return None
        pos = filler.end()
    return None


def _text_value(view: View, pos: int, text: Text, end: int) -> Value | None:
    """The value of an option's text that stands at `pos`, unless it is denied, part of more, or one of two."""
    low, letter = view.low, text.letter
    named = _LETTER_IN_BRACKETS.match(low, end)
    if named and (said := (named.group(1) or named.group(2)).upper()) in view.options.letters:
        return Value(letter if said == letter else AMBIGUOUS, pos, named.end(), "both")
    stop = _STOP.match(low, _CLOSERS.match(low, end).end())  # type: ignore[union-attr]
    if text.weak and not (stop or _TEXT_CONNECTIVE.match(low, end) or (low[end : end + 5] == " only")):
        return None
    join = _SECOND_TEXT.match(low, end)
    if join:
        second = text_at(view, join.end())
        if second and second[0].letter != letter and not (second[0].weak and not _STOP.match(low, second[1])):
            if not re.match(r"[^.\n]{0,30}\b(?:is|are|was|were|does|do|would)\b", low[second[1] : second[1] + 60]):
                return Value(AMBIGUOUS, pos, second[1], "text")
            if join.group().strip() not in (",", ";"):
                return Value(AMBIGUOUS, pos, second[1], "text")
    if not stop and (_OPEN_JOIN.match(low, end) or _DENIED_VALUE.match(low, end)):
        return None
    return Value(letter, pos, end, "text")


def letter_at(view: View, pos: int, *, sure: bool = False) -> Value | None:
    """The option whose letter stands at `pos`, where it is a letter and neither a word nor an initial."""
    written, letter, end = view.text[pos], view.text[pos].upper(), pos + 1
    if letter not in view.options.letters:
        return None
    low = view.low
    if (
        written == "a"
        and low[end : end + 1] == " "
        and view.text[end + 1 : end + 2] in view.options.letters
        and not glued(low, end + 2)
    ):
        return None  # Portuguese: "é a C"
    if pos and (low[pos - 1].isalnum() and low[pos - 1] < "\u2e80"):
        return None
    if end < len(low) and (glued(low, end) and not (low[end] in "-/" and not _word(low, end + 1, view))):
        own = text_at(view, end + 1) if low[end] == "-" else None
        if own is None or own[0].letter != letter:
            return None
    if written == "a" and end == len(low) and not sure and low[pos - 1 : pos] not in ("(", '"', "'", "["):
        return None  # a sentence cut off after its article
    if end == len(low) and low[pos - 1 : pos] == "<":
        return None  # an output cut off inside a tag
    if _begins_list(view, pos, letter):
        return None
    if (
        letter in view.options.lone
        and (lone := _LONE.match(low, end))
        and lone.group(1).upper() == view.options.lone[letter].upper()
    ):
        return Value(letter, pos, lone.end(), "both")
    if written in view.options.confused:
        return Value(AMBIGUOUS, pos, end, "letter")
    told = _told(view, end, letter)
    if told is not None:
        return Value(told[0], pos, told[1], "both")
    if _second(view, end, letter):
        return Value(AMBIGUOUS, pos, end, "letter")
    goes_on = not _STOP.match(low, end) or _is_initial(view, end) or letter in view.options.twins
    if goes_on and (near := nearly(view, end, letter)) is not None:
        return Value(letter, pos, near, "both")
    if _RIGHT_AFTER.match(low, end):
        return Value(letter, pos, end, "letter")
    if _DENIED_VALUE.match(low, end) and not _STOP.match(low, end):
        return None
    stop = _STOP.match(low, end)
    if stop and not (low[end] == "." and _is_initial(view, end) if end < len(low) else False):
        if low[end : end + 1] == "'" and low[end + 1 : end + 2].isalpha():
            return None
        return Value(letter, pos, end, "letter")
    if written.isupper() and letter != "I" and not stop and _CONNECTIVE.match(low, end):
        if letter == "A" and not re.match(
            r"\s(?:because|since|as|due|based|given|which|rather|but|not|here|therefore|so)\b", low[end:]
        ):
            return None
        return Value(letter, pos, end, "letter")
    return None


def letter_with_text(view: View, pos: int) -> Value | None:
    """The option whose letter stands at `pos`, glued to a number or not, only where a text follows: "1b, Heparin"."""
    letter = view.low[pos : pos + 1].upper()
    if letter not in view.options.letters or view.low[pos + 1 : pos + 2].isalnum():
        return None
    told = _told(view, pos + 1, letter)
    return Value(told[0], pos, told[1], "both") if told else None


def _word(low: str, pos: int, view: View) -> bool:
    """Whether more than one letter stands at `pos`, or one that is no option's."""
    return low[pos + 1 : pos + 2].isalnum() or low[pos : pos + 1].upper() not in view.options.letters


def _is_initial(view: View, end: int) -> bool:
    """Whether the full stop at `end` belongs to an abbreviated name: `. coli`, `.Coli`."""
    follow = _INITIAL.match(view.text, end)
    return bool(follow) and not _CONNECTIVE.match(" " + view.low[follow.start(1) : follow.end(1) + 1])  # type: ignore[union-attr]


def _told(view: View, end: int, letter: str) -> tuple[str, int] | None:
    """The letter with the text after it: its own, or AMBIGUOUS where the text is another option's."""
    separator = _SEPARATOR.match(view.low, end)
    start = separator.end() if separator else end
    if start >= len(view.low):
        return None
    found = text_at(view, start)
    between = view.low[end:start]
    if not found and separator:  # the separator may have eaten a sign or an article
        for at in (end + len(between.rstrip("-.~(")), end + 1):
            if at != start and (found := text_at(view, at)):
                start = at
                break
    if not found and (article := _ARTICLE.match(view.low, start)):
        found = text_at(view, article.end())
        if found and found[0].letter != letter:
            found = None
    if not found:
        return None
    text, stop = found
    if text.letter == letter:
        return (letter, stop) if not text.weak or _STOP.match(view.low, stop) or between else None
    for own in view.options.by_first.get(text.tokens[0], ()):
        if own.letter == letter and own.strict and text.strict:
            return None
    if "." in between and (own_letter := _OWN_LETTER.match(view.low, stop)) and own_letter[1].upper() == text.letter:
        return None  # a new sentence about another option: "The answer is C. Aspirin (A) would …"
    if between.strip() == "" and "\n" not in between and not view.text[start : start + 1].isupper():
        return None
    ends = _STOP.match(view.low, stop) or _TEXT_CONNECTIVE.match(view.low, stop)
    if "." in between and view.low[stop : stop + 1] == ",":
        return None  # a new sentence, which begins with a list
    sentence = "\n" in between or "." in between
    if text.weak and not _STOP.match(view.low, stop):
        return None
    if sentence and (
        not ends or (view.low[stop : stop + 1] in ("(", "\n") and "\n" in between and view.low[stop : stop + 1] != "\n")
    ):
        return None
    if "\n" in between and not re.match(r"\s*(?:\n|$)|[.)\"']*\s*(?:\n|$)", view.low[stop:]):
        return None
    return AMBIGUOUS, stop


def nearly(view: View, end: int, letter: str) -> int | None:
    """Where the text after a letter ends, if it is nearly the letter's own: "prosthetic silo" for "prostethic silo"."""
    separator = _SEPARATOR.match(view.low, end)
    if not separator or separator.end() == end or (own := view.options.own.get(letter)) is None:
        return None
    said = tokens_of(view.low, separator.end(), separator.end() + 20 + 30 * len(own), len(own) + 1)
    if not said or said[0][1] > separator.end() + 1:
        return None
    if said[0][0][:1] != own[0][:1] and said[0][0] != own[-1]:
        return None
    for size in (len(own), len(own) + 1, len(own) - 1):
        if 0 < size <= len(said):
            words = " ".join(token for token, _, _ in said[:size])
            if words == " ".join(own) or (len(words) > 4 and _alike(words, " ".join(own))):
                return said[size - 1][2]
    return None


def _alike(one: str, other: str) -> bool:
    """Whether two texts share at least 85 % of their letters in order."""
    if 2 * min(len(one), len(other)) < 0.85 * (len(one) + len(other)):
        return False
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return matcher.quick_ratio() >= 0.85 and matcher.ratio() >= 0.85


def _second(view: View, end: int, first: str) -> bool:
    """Whether another option follows, joined by `and`, `or`, a comma, a slash or nothing."""
    join = _JOIN.match(view.low, end)
    if not join:
        return False
    pos, said = join.end(), join.group()
    spaced = not said.strip(" \"')(]}[{")
    if not spaced and "\n" not in said and (found := text_at(view, pos)) and found[0].letter != first:
        return not said.strip().startswith((",", ";", "-", "/")) and not found[0].weak
    if pos >= len(view.text) or "\n" in said:
        return False
    other = view.text[pos]
    if other.upper() not in view.options.letters or other.upper() == first or glued(view.low, pos + 1):
        return False
    if other.islower() and said.strip() in ("", ",", "-"):
        return False
    if "-" in said and not said.startswith("-"):
        return False
    follows = bool(_STOP.match(view.low, pos + 1) or (_JOIN.match(view.low, pos + 1) and not spaced))
    if spaced and other in "AI" and not _STOP.match(view.low, pos + 1):
        return False
    if follows and re.match(r"\s?(?:is|was|would|could|can|may|does)\b", view.low[pos + 1 : pos + 8]):
        return said.strip() not in (",", ";", "-", "")
    return follows


def _begins_list(view: View, pos: int, letter: str) -> bool:
    """Whether the letter only labels the first of the options written below one another."""
    low = view.low
    line_start = low.rfind("\n", 0, pos) + 1
    line_end = low.find("\n", pos)
    if line_end < 0 or low[line_start:pos].strip(" ([-#>•"):
        return False
    place = view.options.order.index(letter) + 1
    following = _LIST_LABEL.match(low[line_end : line_end + 60].lstrip())
    if following is None or place >= len(view.options.order):
        return False
    return following.group(1).upper() == view.options.order[place]
