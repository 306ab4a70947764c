""" "I choose B", "go with B", "this makes B the best choice", "it is yes"."""

from __future__ import annotations

from components.extraction import tables
from components.extraction.cues.cue import CHOSEN, RIGHT, Cue, cue

_SUBJECT = (
    r"(?:\bi|\bwe|\blet'?s|\blet us|\bplease|(?:^|[\n.!;:,])|\bso|\btherefore|\bthus)"
    r"(?:'d|'ll|'m| would| will| shall| must| have to| am| are|'re| need to| should)?"
    r"(?: (?:therefore|thus|then|very|quite|fairly"
    r"|most|have to"
    r"|finally|rather|now|would|also))? ?"
)
_LETTER = r"(?=[\"'(\[]?[a-z][\"')\]]?(?:$|[\s.:;,!]))"

CHOICES: tuple[Cue, ...] = (
    *(cue(word, rf"{rest}\b", "choose", CHOSEN, _SUBJECT) for word, rest in tables.CHOOSE),
    cue("answer", rf"(?: with)? {_LETTER}", "choose", CHOSEN, r"\b(?:i|we)(?: would|'d| will|'ll)? "),
    cue(
        "say",
        rf",?:?(?: that)?(?: it's| it is| the answer is)? {_LETTER}",
        "choose",
        CHOSEN,
        r"\b(?:i|we)(?:'d| would|'ll| will)?(?: rather| therefore)? ",
    ),
    *(
        cue(sign, r"\s?(?:故)?(?:选择|選擇|选|選)?\s?:?(?:选项|選項)?", "choose", CHOSEN, checked=False)
        for sign in ("故选", "故選", "应选", "應選", "选择", "選擇", "因此选", "所以选", "我选", "本题选")
    ),
    *(cue(word, r"(?= ?[a-z](?![a-z]))", "choose", CHOSEN, checked=False) for word in ("选", "選")),
    *(
        cue(word, r" (?=(?:option )?[\"(]?[a-z][\")]? (?:the )?(?:correct|right|best))", "said_correct", RIGHT)
        for word in ("make", "makes", "making")
    ),
    cue("statement is", r"(?= (?:true|false)\b)", "answer_is", CHOSEN, r"\b(?:this|the) "),
    *(
        cue(word, r"(?: a| an?| definitely| clearly)* (?=\"?(?:yes|no|maybe)\b\"?[.\n!,])", "answer_is", CHOSEN)
        for word in ("it is", "it's", "this is")
    ),
)
