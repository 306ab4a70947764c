"""Which option an output chose. `extract` gives the letter, `read` the reason, `explain` both in words."""

from components.extraction.candidates import Candidate
from components.extraction.engine import EXTRACTION_VERSION, Reading, explain, extract, read
from components.extraction.text import without_tags
from components.extraction.thoughts import without_thought

__all__ = [
    "EXTRACTION_VERSION",
    "Candidate",
    "Reading",
    "explain",
    "extract",
    "read",
    "without_tags",
    "without_thought",
]
