"""Scores from files to a file: every output is extracted and marked anew, so that old answers get the present rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.errors import InputError
from components.platform.config import write_json
from components.platform.tables import iterate_rows, read_items, read_metadata
from components.questions.items import Item
from components.scoring.askings.marking import Marked, mark
from components.scoring.cells import score
from components.scoring.gate.provenance import changed_items
from components.scoring.outcomes import item_table, outcomes_of
from components.scoring.slices import slices_of

Versions = dict[str, dict[str, str]]  # model -> what its answer files say of themselves
DRAWS = 10_000  # of the bootstrap; our choice


def write_scores(
    items: Path, answers: Sequence[Path], out: Path, draws: int = DRAWS, seed: int = 0, slices: Sequence[str] = ()
) -> dict[str, Any]:
    """Write the scores of every model in `answers` to `out` (scores.json) and return them.

    `slices` names columns of the items, or fields of their meta, whose values get a cell each. Answers that say they
    were given to other questions, keys or prefills are scored by those given, and `versions.items` says what differs.
    """
    asked = read_items(items)
    values = slices_of(asked, slices, "slices")
    marked, versions = read_answers(asked, answers)
    scores = score(
        item_table(asked),
        outcomes_of(marked, len(asked)),
        seed=seed,
        draws=draws,
        answer_versions=versions,
        marked=marked,
        slices=values,
    )
    if differs := "; ".join(f"{path.name}: {text}" for path in answers if (text := changed(asked, path))):
        scores["versions"]["items"] = differs
    write_json(out, scores)
    return scores


def changed(items: Sequence[Item], path: Path) -> str | None:
    """What differs between `items` and those that a file's answers were given to; None where nothing is known to."""
    recorded = read_metadata(path).get("items_digest")
    return changed_items(items, iterate_rows(path), recorded) if recorded else None


def read_answers(items: Sequence[Item], paths: Sequence[Path]) -> tuple[Marked, Versions]:
    """Marked answers of all files, and per model the metadata of the files that hold its answers.

    Raises InputError when two files of one model were made under different conditions.
    """
    versions: Versions = {}

    def rows() -> Iterator[tuple[str, Mapping[str, Any]]]:
        for path in paths:
            metadata = read_metadata(path)
            models: set[str] = set()
            for number, row in enumerate(iterate_rows(path), start=1):
                models.add(str(row.get("model")))
                yield f"{path}: row {number}", row
            for model in sorted(models):
                known = versions.setdefault(model, dict(metadata))
                for key in known.keys() | metadata.keys():
                    if known.get(key) != metadata.get(key):
                        raise InputError(
                            f"{path}: {key}: {metadata.get(key)!r}, but other answers of {model!r} have "
                            f"{known.get(key)!r}; evaluate the model again under one set of conditions"
                        )

    return mark(items, rows()), versions
