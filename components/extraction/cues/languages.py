"""Declarations in other languages: "答案：C", "Die richtige Antwort ist C"; their words are tables.LANGUAGES."""

from __future__ import annotations

import re
from dataclasses import replace

from components.extraction import tables
from components.extraction.cues.cue import DECLARED, Cue, cue


def _foreign() -> list[Cue]:
    cues = []
    for _, nouns, copulas in tables.LANGUAGES:
        for noun in nouns.split("|"):
            word = re.split(r"[(?\[]", noun)[0]
            word = word[:-1] if noun[len(word) :].startswith("?") else word
            rest = noun[len(word) :]
            cjk = word[0] > "\u2e80"
            gap = r"[^.\n:!?]{0,60}?\s?" if cjk else r"(?: [^.\n:!?]{1,60}?)??\s"
            after = "" if cjk else r"(?![^\W_])"
            cues.append(cue(word, rf"{rest}\s?(?:{copulas})?\s?:+", "answer_is", sure=True))
            cues.append(cue(word, rf"{rest}{gap}(?:{copulas}){after}\s?:?", "answer_is", sure=True))
            cues.append(cue(word, rf"{rest} (?:{tables.FOREIGN_ADJECTIVES})\s?:+", "answer_is", sure=True))
            cues.append(cue(word, rf"{rest}\s?\]:?", "answer_is", DECLARED, r"\[[^\[\]\n]{0,6}", sure=True))
            cues.append(cue(word, rf"{rest}\s?[-–—=]+", "answer_is", sure=True))
    return [replace(entry, foreign=True) for entry in cues]


FOREIGN: tuple[Cue, ...] = tuple(_foreign())
FOREIGN_DENIAL = re.compile(tables.FOREIGN_DENIALS)
