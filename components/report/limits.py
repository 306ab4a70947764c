"""What a report is asked for: its title, and how much text the page shows."""

from __future__ import annotations

from dataclasses import dataclass, field

from components.questions.seal import Seal

TITLE = "BioMed-R1: knowledge and reasoning in medical language models"


@dataclass(frozen=True)
class Limits:
    """How much text the page shows."""

    examples: int = 4
    example_chars: int = 900
    removed_rows: int = 12
    seal: Seal = field(default_factory=Seal)  # questions that no example may quote
