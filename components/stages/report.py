"""Report: everything a run found, as one self-contained HTML page and as Markdown for the KFP UI."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel, ConfigDict, Field

from components.errors import InputError
from components.platform.config import config_options, write_json
from components.report.build import Limits
from components.report.files import TITLE, read_inputs, write_report


class ReportConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = TITLE
    examples: int = Field(Limits.examples, ge=0, description="worst regressions shown in full; 0 keeps all text out")
    example_chars: int = Field(Limits.example_chars, ge=100, description="characters of a question and of each output")
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
) -> dict[str, Any]:
    """Write out_dir/report.html and out_dir/report.md; only `scores` has to be there.

    Raises InputError naming the file that is unreadable or of a newer schema.
    """
    found = read_inputs(scores, decision, items, answers, classifier, curation, histories, lineage)
    limits = Limits(config.examples, config.example_chars, config.removed_rows)
    return write_report(config.title, found, limits, out_dir)


def _file(name: str, text: str, **extra: Any) -> Callable[[Any], Any]:
    return click.option(name, type=click.Path(exists=True, path_type=Path), help=text, **extra)


@click.command("report")
@_file("--scores", "scores.json of `score` or `compare`.", required=True)
@_file("--decision", "decision.json of `compare`.")
@_file("--items", "The stratified questions (Parquet or JSONL).")
@_file("--answers", "Answer files (repeatable): versions and example outputs.", multiple=True)
@_file("--classifier", "classifier.json, or the folder that holds it.")
@_file("--curation", "curation.json.")
@click.option(
    "--history", "histories", multiple=True, metavar="STAGE=FILE", help="Training history, e.g. sft=sft.json."
)
@click.option(
    "--out", "out_dir", required=True, type=click.Path(file_okay=False, path_type=Path), help="Output folder."
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False), help="Write the evidence as JSON.")
@config_options(ReportConfig)
def command(
    scores: Path,
    decision: Path | None,
    items: Path | None,
    answers: Sequence[Path],
    classifier: Path | None,
    curation: Path | None,
    histories: Sequence[str],
    out_dir: Path,
    json_file: str | None,
    config: ReportConfig,
) -> None:
    """Write report.html and report.md from scores and whatever else is at hand."""
    pairs = dict(_history(text) for text in histories)
    if classifier is not None and classifier.is_dir():
        classifier = classifier / "classifier.json"
    evidence = report(scores, decision, items, list(answers), classifier, curation, pairs, config, out_dir)
    write_json(json_file, evidence)
    click.echo(f"{evidence['headline']}: {out_dir / 'report.html'}")
    if evidence["absent"]:
        click.echo(f"left out, not given: {', '.join(evidence['absent'])}")


def _history(text: str) -> tuple[str, Path]:
    stage, equals, file = text.partition("=")
    if not equals or not stage or not file:
        raise InputError(f"--history {text}: write STAGE=FILE, for example sft=sft-history.json")
    return stage, Path(file)
