"""A boxed answer ("\\boxed{B}"), an answer tag ("<answer>B"), brackets, a call (`Finish[B]`)."""

from __future__ import annotations

from components.extraction import tables
from components.extraction.cues.cue import Cue, cue

ENCLOSED: tuple[Cue, ...] = (
    cue("boxed", r"\s*[{(\[]|(?<=boxed) (?=[a-z]\b)", "boxed", sure=True, checked=False),
    cue("[[", r"(?=[\"' ]?[a-z][\"' .)]*[^\n\]]{0,80}\]\])", "tag", sure=True, checked=False),
    cue("<<", r"(?=[\"' ]?[a-z][\"' .)]*[^\n>]{0,80}>>)", "tag", sure=True, checked=False),
    cue("<", rf"\s?{tables.ANSWER_TAGS}(?:\s[^<>]{{0,60}})?>", "tag", sure=True, checked=False),
    cue("[", rf"\s?{tables.ANSWER_TAGS}\s?\](?!\()", "tag", sure=True, checked=False),
    *(
        cue(
            word,
            r"\w{0,20}\s?[\[(]\s?(?:[\w ]{1,20}=\s?)?(?=[\"'(]?[a-z])(?=[^\n]{1,200}[\])])",
            "call",
            sure=True,
            checked=False,
        )
        for word in tables.CALL_NAMES
    ),
)
