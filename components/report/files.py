"""The report from files to files: what the stages left is read, report.html and report.md are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.classifier import card as classifier_card
from components.errors import InputError
from components.platform.tables import iterate_rows, read_items, read_metadata
from components.report.build import Inputs, build_page
from components.report.limits import TITLE, Limits
from components.report.origin import Origin
from components.report.page import render_html, render_markdown
from components.report.score_files import write_scores
from components.report.scores import SCHEMA_VERSION, Scores, check_schema

# What a record must hold to be the one that a stage wrote, and not some other JSON file.
_CURATION = ("counts", "contamination_rate", "sets", "removed")
_CLASSIFIER = ("threshold", "threshold_rule", "metrics", "baselines", "labelled")
_DECISION = ("decision", "baseline", "candidate", "reasons")


def read_inputs(
    scores: Path,
    decision: Path | None = None,
    items: Path | None = None,
    answers: Sequence[Path] = (),
    classifier: Path | None = None,
    curation: Path | None = None,
    histories: Mapping[str, Path] | None = None,
    lineage: Mapping[str, str] | None = None,
    origin: Origin | None = None,
) -> Inputs:
    """What a report is made of; only `scores` has to be there. Raises InputError naming a file that is unreadable."""
    return Inputs(
        scores=Scores(_read(scores), str(scores)),
        decision=_optional(decision, lambda path: _read(path, needed=_DECISION)),
        items=_optional(items, read_items) or [],
        answers=AnswerRows(tuple(answers)),
        metadata={_model_of(path): read_metadata(path) for path in answers},
        classifier=_optional(
            classifier, lambda path: _read(path, newest=classifier_card.SCHEMA_VERSION, needed=_CLASSIFIER)
        ),
        curation=_optional(curation, lambda path: _read(path, needed=_CURATION)),
        histories={name: _read(path, (dict, list)) for name, path in (histories or {}).items()},
        lineage=lineage or {},
        origin=origin,
    )


def write_report(title: str, found: Inputs, limits: Limits, out_dir: Path) -> dict[str, Any]:
    """Write out_dir/report.html and out_dir/report.md; returns what is on the page and what was left out."""
    page = build_page(title, found, limits)
    out_dir.mkdir(parents=True, exist_ok=True)
    text, markdown = render_html(page), render_markdown(page)
    (out_dir / "report.html").write_text(text, encoding="utf-8")
    (out_dir / "report.md").write_text(markdown, encoding="utf-8")
    return {
        "html": "report.html",
        "markdown": "report.md",
        "headline": page.headline.title,
        "sections": [s.anchor for s in page.shown],
        "absent": [s.anchor for s in page.left_out],
        "metrics": {
            "report_bytes": len(text.encode()),
            "report_figures": sum(len(s.figures) for s in page.shown),
            "report_tables": sum(len(s.tables) for s in page.shown),
        },
    }


def write_evaluation(items: Path, answers: Path, examples: int | None = None) -> dict[str, Any]:
    """Put scores.json, report.html and report.md beside one model's `answers`; returns the scores.

    `examples` is how many questions the page quotes; 0 makes one that may be shown where the questions may not.
    """
    folder, limits = answers.parent, Limits() if examples is None else Limits(examples=examples)
    scores = write_scores(items, [answers], folder / "scores.json")
    write_report(TITLE, read_inputs(folder / "scores.json", items=items, answers=[answers]), limits, folder)
    return scores


def _optional(path: Path | None, reader: Callable[[Path], Any]) -> Any:
    return None if path is None else reader(Path(path))


def _read(
    path: Path,
    kinds: type | tuple[type, ...] = dict,
    newest: int = SCHEMA_VERSION,
    needed: Sequence[str] = (),
) -> Any:
    """A JSON record of a schema that this version reads; raises InputError naming the file, and the field if any."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}); write it again") from None
    if not isinstance(value, kinds):
        raise InputError(f"{path}: must hold a JSON record, not {type(value).__name__}")
    if isinstance(value, dict):
        check_schema(value, str(path), newest)
        for name in needed:
            if name not in value:
                raise InputError(f"{path}: {name}: missing; is this another stage's file?")
    return value


@dataclass(frozen=True)
class AnswerRows:
    """(where, row) of several answer files, read anew each time: the texts of all models would fill the memory."""

    paths: tuple[Path, ...]

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for path in self.paths:
            for number, row in enumerate(iterate_rows(path), start=1):
                yield f"{path}: row {number}", row


def _model_of(path: Path) -> str:
    """The model whose answers a file holds, by its first row; an empty file goes by its name."""
    return str(next(iterate_rows(path), {}).get("model", path.stem))
