"""What is read off a question before anything is learnt: its last sentence and countable marks of a vignette.

Pure text in, numbers out. Encoders and their vectors live in `encoder`, what is fitted on either in `parts`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

_SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z(\"'])")
# Patterns whose matches are counted over the whole stem, as log(1 + count).
_COUNTED = {
    "patient": r"\b(?:man|woman|boy|girl|male|female|patient|infant|child|newborn|mother|gravida|he|she|his|her)\b",
    "vital_signs": r"mm ?hg|\bbpm\b|/min|°|blood pressure|heart rate|\bpulse\b|respirat\w+ rate|temperature"
    r"|oxygen saturation|\bbp\b|\bhr\b",
    "laboratory": r"mg/d?l|mmol|meq|g/dl|u/l|/mm3|/µl|\bng/|\bmcg|\bwbc\b|hemoglobin|leukocyte|platelet|serum|\d ?%",
    "examination": r"examination|exam\b|auscultation|palpation|reveals?|shows?|demonstrates?|radiograph|x-ray|\bct\b"
    r"|\bmri\b|ultrasound|ecg|biops",
    "history": r"history|presents?|complain|reports?|admitted|brought|emergency|clinic|hospital|(?:day|week)s? ago",
}
# Patterns that the stem (age) or its last sentence (the others) holds or does not.
_AGE = r"\b(?:\d{1,3}|[a-z]+)[- ](?:year|month|week|day|yr)s?[- ]?old\b|\baged? \d+|\b\d+ ?(?:yo|y/o)\b"
_ASKED = {
    "asks_management": r"next (?:best )?step|management|treatment|therapy|intervention|recommend|should|appropriate",
    "asks_diagnosis": r"diagnos|most likely|likely cause|best explain|explains?|underlying|responsible",
    "asks_mechanism": r"mechanism|pathogenesis|associated with|gene|mutation|enzyme|nerve|artery|muscle|receptor"
    r"|pathway",
    "asks_which_following": r"which of (?:the following|these)",
    "asks_negated": r"\b(?:except|not|least|false|incorrect)\b",
    "asks_of_patient": r"\bpatient|this (?:man|woman|boy|girl|child|infant)|\b(?:his|her|he|she)\b",
    "asks_openly": r"^\W*(?:what|how|why|when|where|who)\b",
}
_counted = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _COUNTED.items()}
_asked = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _ASKED.items()}
_age = re.compile(_AGE, re.IGNORECASE)

NAMES = (
    "words", "last_words", "sentences", "words_per_sentence", "digits", "digit_share", "commas", "word_length",
    "last_word_length", "age", *_COUNTED, *_ASKED, "question_mark",
)  # fmt: skip


@lru_cache(maxsize=65536)
def split_last(text: str) -> tuple[str, str]:
    """(what comes before, the last sentence): a vignette asks its question last. One sentence has nothing before it."""
    parts = _sentences(text)
    return " ".join(parts[:-1]), parts[-1]


def last_sentence(text: str) -> str:
    return split_last(text)[1]


def log_words(texts: Sequence[str]) -> np.ndarray:
    """log(1 + number of words) of each text, shape (n, 1)."""
    return np.log1p([[len(text.split())] for text in texts])


def surface(texts: Sequence[str]) -> np.ndarray:
    """The numbers of NAMES for each text, shape (n, len(NAMES)), float32: trees are stored and compared in it."""
    return np.array([_surface(text) for text in texts], dtype=np.float32).reshape(len(texts), len(NAMES))


@lru_cache(maxsize=65536)
def _surface(text: str) -> tuple[float, ...]:
    asked = last_sentence(text)
    words, last_words, sentences = text.split(), asked.split(), len(_sentences(text))
    digits = sum(letter.isdigit() for letter in text)
    return (
        float(np.log1p(len(words))),
        float(np.log1p(len(last_words))),
        float(np.log1p(sentences)),
        len(words) / sentences,
        float(np.log1p(digits)),
        digits / max(1, len(text)),
        text.count(",") / max(1, len(words)),
        _mean_length(words),
        _mean_length(last_words),
        float(bool(_age.search(text))),
        *(float(np.log1p(len(pattern.findall(text)))) for pattern in _counted.values()),
        *(float(bool(pattern.search(asked))) for pattern in _asked.values()),
        float(asked.endswith("?")),
    )


def _sentences(text: str) -> list[str]:
    return [part for part in _SENTENCE.split(text.strip()) if part.strip()] or [text.strip()]


def _mean_length(words: Sequence[str]) -> float:
    return sum(map(len, words)) / max(1, len(words))
