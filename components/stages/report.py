"""Report: everything a run found, as one self-contained HTML page and as Markdown for the KFP UI."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel, ConfigDict, Field

from components.errors import InputError
from components.platform.page import render_html, render_markdown
from components.platform.report_sections import Inputs, Limits, build_page
from components.platform.tables import iterate_rows, read_items, read_metadata
from components.platform.verbs import config_options, write_json
from components.qa.findings import Scores, check_schema


class ReportConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = "BioMed-R1: knowledge and reasoning in medical language models"
    examples: int = Field(4, ge=0, description="worst regressions shown with their text; 0 keeps all text out")
    example_chars: int = Field(900, ge=100, description="characters shown of a question and of each output")
    removed_rows: int = Field(12, ge=0, description="removed training questions listed by name")


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
    found = Inputs(
        scores=Scores(_read(scores), str(scores)),
        decision=_optional(decision, _read),
        items=_optional(items, read_items) or [],
        answers=_answer_rows(answers),
        metadata={_model_of(path): read_metadata(path) for path in answers},
        classifier=_optional(classifier, _read),
        curation=_optional(curation, _read),
        histories={name: _read(path, (dict, list)) for name, path in (histories or {}).items()},
        lineage=lineage or {},
    )
    page = build_page(config.title, found, Limits(config.examples, config.example_chars, config.removed_rows))
    out_dir.mkdir(parents=True, exist_ok=True)
    text, markdown = render_html(page), render_markdown(page)
    (out_dir / "report.html").write_text(text, encoding="utf-8")
    (out_dir / "report.md").write_text(markdown, encoding="utf-8")
    return {
        "html": "report.html",
        "markdown": "report.md",
        "headline": page.headline.title,
        "sections": [s.anchor for s in page.sections if not s.absent],
        "absent": [s.anchor for s in page.sections if s.absent],
        "metrics": {
            "report_bytes": len(text.encode()),
            "report_figures": sum(len(s.figures) for s in page.sections),
            "report_tables": sum(len(s.tables) for s in page.sections),
        },
    }


def _optional(path: Path | None, reader: Callable[[Path], Any]) -> Any:
    return None if path is None else reader(Path(path))


def _read(path: Path, kinds: type | tuple[type, ...] = dict) -> Any:
    """A JSON record of a schema that this version reads; raises InputError naming the file."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}); write it again") from None
    if not isinstance(value, kinds):
        raise InputError(f"{path}: must hold a JSON record, not {type(value).__name__}")
    if isinstance(value, dict):
        check_schema(value, str(path))
    return value


def _answer_rows(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for path in paths:
        yield from iterate_rows(path)


def _model_of(path: Path) -> str:
    """The model whose answers a file holds, by its first row; an empty file goes by its name."""
    return str(next(iterate_rows(path), {}).get("model", path.stem))


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
