""" "The incorrect statement is B", "all are true except B": what an inverted question asks for."""

from __future__ import annotations

from components.extraction import tables
from components.extraction.cues.cue import CHOSEN, Cue, cue

INVERTED: tuple[Cue, ...] = (
    *(
        cue(
            word,
            rf" (?=(?:option )?[\"(]?[a-z][\")]? (?:the |an? )?(?:only )?(?:{'|'.join(tables.INVERTED_PREDICATES)}))",
            "inverted",
            CHOSEN,
        )
        for word in ("make", "makes", "making", "leaves", "leaving")
    ),
    *(
        cue(
            word,
            rf" (?:{tables.INVERTED_NOUN}|answer choice)(?: (?:here|among|of|in|regarding|about|from|concerning"
            rf"|given)\b[^.:\n?!]{{0,90}}?)?,? ?(?:{tables.BE}\b|:)",
            "inverted",
            CHOSEN,
        )
        for word in tables.INVERTED
    ),
    cue(
        "except",
        r"(?: for)?:?(?= ?\S)",
        "inverted",
        CHOSEN,
        r"\ball (?:of )?(?:the |these |them |those |other )?[^.\n?!]{0,60}"
        r"\b(?:are|is) (?:true|correct|right|accurate|features|causes|signs)\b[^.\n?!]{0,60} ",
    ),
    *(
        cue(
            word,
            rf"(?: here)? {tables.BE}\b\s?:?",
            "inverted",
            CHOSEN,
            rf"\bthe (?:only )?{tables.INVERTED_NOUN}(?: \w+){{0,2}} (?:that|which) is ",
        )
        for word in ("false", "incorrect", "wrong", "untrue", "inaccurate")
    ),
    cue(
        "least ",
        rf"(?:likely|appropriate|accurate|useful|probable|common|helpful)(?: \w+){{0,4}}? (?:{tables.BE}\b|:)",
        "inverted",
        CHOSEN,
    ),
    *(
        cue(word, rf"(?: (?:here|among|of|in|to)\b[^.:\n?!]{{0,90}}?)?,? ?(?:{tables.BE}\b|:)", "inverted", CHOSEN)
        for word in ("exception", "odd one out")
    ),
    *(
        cue(
            word,
            rf"(?: not|n't) [^.\n?!]{{1,90}}? {tables.BE}\b\s?:?",
            "inverted",
            CHOSEN,
            rf"\bthe (?:only )?(?:{tables.INVERTED_NOUN}|{tables.SUBJECTS})(?: \w+){{0,3}}? ",
            checked=False,
        )
        for word in (
            "that is",
            "that's",
            "that are",
            "that does",
            "that do",
            "that did",
            "that was",
            "that has",
            "that can",
            "which is",
            "which are",
            "which does",
            "which do",
        )
    ),
)
