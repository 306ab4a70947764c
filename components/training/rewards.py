"""What reinforcement learning rewards, as pure functions of one completion and its question.

Correctness follows the one extraction rule that also scores models, so that training cannot learn to please a more
generous reader. Format rewards the answer line that the prompts ask for. Self-correction is defined only where the
assistant's turn was made to begin with a wrong statement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from components.extraction import extract
from components.questions.prefills.named import named_option

REWARDS_VERSION = "1"
REWARDS = ("correctness", "format", "self_correction")

_ANSWER_LINE = re.compile(r"(?:the answer is )\(?([a-z])\)?\.?", re.IGNORECASE)


def correctness(completion: str, options: Mapping[str, str], answer_idx: str) -> float:
    """1 when the extracted answer is the right letter; 0 otherwise, no answer and an ambiguous one included."""
    return float(extract(completion, options) == answer_idx)


def answer_format(completion: str, options: Mapping[str, str]) -> float:
    """1 when the last line is `The answer is X.` with one of the letters, and no earlier line declares another;
    0.5 when an answer can at least be extracted; 0 otherwise. Blind to whether the answer is right."""
    lines = [line.strip() for line in completion.splitlines() if line.strip()]
    declared = [match[1].upper() for match in map(_ANSWER_LINE.fullmatch, lines) if match]
    last = _ANSWER_LINE.fullmatch(lines[-1]) if lines else None
    if last and last[1].upper() in options and len(set(declared)) == 1:
        return 1.0
    return 0.5 if extract(completion, options) is not None else 0.0


def self_correction(completion: str, options: Mapping[str, str], answer_idx: str, opening: str) -> float | None:
    """None without an opening. After one: 1 for ending at the right answer, -1 for staying with the option that the
    opening named, 0 for no answer or for another wrong one."""
    if not opening.strip():
        return None
    answer = extract(completion, options)
    if answer == answer_idx:
        return 1.0
    return -1.0 if answer is not None and answer == named_option(opening, options) else 0.0


def rewards(completion: str, options: Mapping[str, str], answer_idx: str, opening: str = "") -> dict[str, float | None]:
    """Every reward by name; None where one does not apply."""
    return {
        "correctness": correctness(completion, options, answer_idx),
        "format": answer_format(completion, options),
        "self_correction": self_correction(completion, options, answer_idx, opening),
    }
