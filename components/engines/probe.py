"""The probe: a seeded share of the answers is asked once more, for the letter alone, to measure the extraction rule.

The model goes on after its own finished answer with a short request, and only the question's letters can be written.
Where its letter differs from the one that the rule read, one of the two is wrong about what the model meant. The probe
measures the rule; it never replaces the rule's letter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from components.engines.base import Engine, Generation, Request

# A bracket before the letter: tokenizers then keep the letter a token of its own.
PROBE_TEXT = "\n\nThe letter of the answer I gave is ("
PROBE_VERSION = hashlib.sha256(PROBE_TEXT.encode()).hexdigest()[:12]
NOT_ASKED = "not asked: this engine cannot be held to letters"


def chosen(request_id: str, percent: float, seed: int) -> bool:
    """Whether an answer is one of the `percent` in a hundred that are probed; the same for every model."""
    drawn = hashlib.sha256(f"probe {seed} {request_id}".encode()).digest()
    return int.from_bytes(drawn[:8], "big") < percent / 100 * 2**64


def probe(
    engine: Engine,
    requests: Sequence[Request],
    answers: Sequence[Generation],
    letters: Sequence[Sequence[str]],
    percent: float,
    seed: int,
) -> tuple[list[str | None], str]:
    """The probed letter of each answer (None: not probed), and "" or why none was asked.

    An answer that was cut off is unfinished, and one after an unclosed thought is none: both are left out.
    """
    found: list[str | None] = [None] * len(requests)
    places = [
        place
        for place, (request, answer) in enumerate(zip(requests, answers, strict=True))
        if chosen(request.id, percent, seed) and answer.finish_reason == "stop"
    ]
    if not places:
        return found, ""
    again = [replace(requests[p], opening=requests[p].opening + answers[p].text.rstrip() + PROBE_TEXT) for p in places]
    picked = engine.pick(again, [letters[p] for p in places])
    if picked is None:
        return found, NOT_ASKED
    for place, letter in zip(places, picked, strict=True):
        found[place] = letter
    return found, ""
