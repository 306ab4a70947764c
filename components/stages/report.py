"""Report: everything a run found, as one self-contained HTML page and as Markdown for the KFP UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from components.questions.seal import Seal
from components.report.limits import TITLE, Limits

if TYPE_CHECKING:
    from components.report.origin import Origin


class ReportConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = TITLE
    examples: int = Field(Limits.examples, ge=0, description="worst regressions shown in full; 0 keeps all text out")
    example_chars: int = Field(Limits.example_chars, ge=100, description="characters of a question and of each output")
    sealed: float = Field(0.0, ge=0, lt=1, description="share of the questions that no example quotes (the gate's)")
    removed_rows: int = Field(Limits.removed_rows, ge=0, description="removed training questions listed by name")


def report(
    scores: Path,
    decision: Path | None,
    items: Path | None,
    answers: Sequence[Path],
    classifier: Path | None,
    curation: Path | None,
    histories: Mapping[str, Path] | None,
    config: ReportConfig,
    out_dir: Path,
    lineage: Mapping[str, str] | None = None,
    seal_number: int = 0,
    origin: Origin | None = None,
) -> dict[str, Any]:
    """Write out_dir/report.html and out_dir/report.md; only `scores` has to be there.

    Raises InputError naming the file that is unreadable or of a newer schema.
    """
    from components.report.files import read_inputs, write_report  # bring every section and numpy

    found = read_inputs(scores, decision, items, answers, classifier, curation, histories, lineage, origin)
    seal = Seal(config.sealed, seal_number)
    limits = Limits(config.examples, config.example_chars, config.removed_rows, seal)
    return write_report(config.title, found, limits, out_dir)
