"""Which cues can be in a text at all, by the words of the text."""

from __future__ import annotations

from components.extraction import tables
from components.extraction.cues import ALL, PLAIN, Cue
from components.extraction.cues.before import BACKWARD, SMALL_CORRECTIONS, STRONG_CORRECTIONS

_SIGNS = ".,;:!?()[]{}<>\"'|=-/\\#~+_\n\x1e"
_PUNCTUATION = {ord(sign): " " for sign in _SIGNS}


def words_of(low: str) -> list[str]:
    """The words of the text."""
    if not low.isascii():  # translating is slow there; other letters become question marks, so spaces
        low = _ascii(low)
    return low.translate(_PUNCTUATION).split()


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii")


# Words of nearly every text: a key only where the cue has no other.
_COMMON = frozenset(
    ["a", "i", "s", "is", "it", "as", "of", "to", "in", "the", "that", "this", "which", "with", "has", "not", "was",
     "are", "do", "does", "did", "have"]
)  # fmt: skip


def _keys(cue: Cue) -> list[str]:
    """The words of which one is in every text that holds the cue: its longest, which is the rarest."""
    if not cue.word.isascii():
        return []
    words = [word for word in cue.word.translate(_PUNCTUATION).split() if word[0].isalpha()]
    if not words:
        return []
    word = max(words, key=lambda word: (word not in _COMMON, len(word)))
    return [word, word + "s", *(_ascii(form).split("?")[0] for form in tables.WORD_FORMS.get(word, ()))]


Present = tuple[list[Cue], list[Cue], list[Cue], list[Cue]]  # after, before, small corrections, strong corrections


class Index:
    """Every cue by a word of its own; those of other scripts and of signs are always looked for."""

    def __init__(self, *groups: tuple[Cue, ...]) -> None:
        self.cues: list[tuple[int, Cue]] = [(group, cue) for group, cues in enumerate(groups) for cue in cues]
        # By key: places in self.cues whose word is there with the key, and those whose whole word must be looked for.
        self.keyed: dict[str, tuple[list[int], list[tuple[int, str]]]] = {}
        self.signs: list[tuple[int, str]] = []
        self.foreign: dict[str, list[tuple[int, str]]] = {}  # by a sign of the word that is not ASCII
        for place, (_, cue) in enumerate(self.cues):
            keys = _keys(cue)
            for key in keys:
                certain, others = self.keyed.setdefault(key, ([], []))
                if key.startswith(cue.word):
                    certain.append(place)
                else:
                    others.append((place, cue.word))
            if not keys:
                if cue.word.isascii():
                    self.signs.append((place, cue.word))
                else:
                    sign = next(c for c in cue.word if not c.isascii())
                    self.foreign.setdefault(sign, []).append((place, cue.word))
        self.keys = frozenset(self.keyed)

    def present(self, low: str) -> Present:
        """The cues whose word is in the text, in the order of the tables."""
        hits: set[int] = set()
        if "<" in low or "[" in low or "=" in low:
            hits.update([place for place, word in self.signs if word in low])
        if not low.isascii():
            for sign in self.foreign.keys() & set(low):
                hits.update([place for place, word in self.foreign[sign] if word in low])
        for key in self.keys.intersection(words_of(low)):
            certain, others = self.keyed[key]
            hits.update(certain)
            for place, word in others:
                if word in low:
                    hits.add(place)
        found: Present = ([], [], [], [])
        for place in sorted(hits):
            group, cue = self.cues[place]
            found[group].append(cue)
        return found


_ANY, _ASCII = (Index(after, BACKWARD, SMALL_CORRECTIONS, STRONG_CORRECTIONS) for after in (ALL, PLAIN))


def present(low: str) -> Present:
    """The cues that can be in the text at all."""
    return (_ASCII if low.isascii() else _ANY).present(low)
