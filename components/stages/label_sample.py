"""Label-sample: questions for two people to label, drawn with known probabilities; and what their file says.

`draw` writes a sheet that shows neither key, answers nor the classifier's opinion; `apply` checks the filled sheet and
writes the items with their labels and probabilities of being drawn, from which `score` makes the gaps `dsl`.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from components.errors import InputError
from components.platform.config import write_json
from components.platform.tables import read_items, write_items
from components.questions.items import LABEL_PROBABILITY, QUESTION_TYPES, Item, group_of, items_digest
from components.questions.label_sampling import draw_sample

SCHEMA_VERSION = 1
SHEET, DESIGN = "label-sheet.csv", "label-design.json"
COLUMNS = ("id", "benchmark", "context", "question", "options", "label_1", "label_2", "label")
_DRAWS = 2000


class LabelSampleConfig(BaseModel):
    """Our choices. 400 to 600 questions halve the error of a gap that is made from the labels alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(500, ge=20, description="questions to draw; a question and its copies count once")
    bins: int = Field(4, ge=1, le=20, description="steps of the probability of reasoning to draw from, per benchmark")
    seed: int = Field(0, ge=0)


def draw(items: Path, config: LabelSampleConfig, out_dir: Path) -> dict[str, Any]:
    """Writes out_dir/label-sheet.csv, to be filled, and out_dir/label-design.json; returns the evidence.

    `label_1` and `label_2` are the two people's, each Reasoning or Understanding; `label` is what they agree on after
    talking, wherever the two differ.
    """
    asked = read_items(items)
    sample = draw_sample(asked, config.size, config.bins, config.seed)
    by_id = {item.id: item for item in asked}
    out_dir.mkdir(parents=True, exist_ok=True)
    with (out_dir / SHEET).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for item_id in sample.drawn:
            writer.writerow(_sheet_row(by_id[item_id]))
    design = {
        "schema_version": SCHEMA_VERSION,
        "items_digest": items_digest(asked),
        **config.model_dump(),
        "drawn": list(sample.drawn),
        "probability": sample.probability,
    }
    write_json(out_dir / DESIGN, design)
    by_benchmark: dict[str, int] = {}
    for item_id in sample.drawn:
        name = by_id[item_id].dataset_name
        by_benchmark[name] = by_benchmark.get(name, 0) + 1
    return {"drawn": len(sample.drawn), "of": len(sample.probability), "benchmarks": by_benchmark}


def apply(items: Path, design: Path, sheet: Path, out: Path) -> dict[str, Any]:
    """Writes `items` with the sheet's labels as question_type to `out`; returns how far the two people agree.

    Raises InputError for other items than were drawn from, a row that is missing, unknown or twice there, a label that
    is neither Reasoning nor Understanding, and for a disagreement that `label` does not settle.
    """
    asked, plan = read_items(items), _read_design(design)
    if plan["items_digest"] != items_digest(asked):
        raise InputError(f"{items}: other questions than {design} was drawn from; give those")
    rows = _read_sheet(sheet, plan["drawn"])
    open_ = [item_id for item_id, (one, two, agreed) in rows.items() if one != two and not agreed]
    if open_:
        raise InputError(f"{sheet}: {open_[0]}: label: empty where label_1 and label_2 differ ({len(open_)} such rows)")
    final = {item_id: agreed or one for item_id, (one, _, agreed) in rows.items()}
    by_id = {item.id: item for item in asked}
    of_group = {group_of(by_id[item_id]): label for item_id, label in final.items()}
    write_items([_labelled(item, of_group, plan["probability"]) for item in asked], out)
    first, second = (np.array([pair[place] == "Reasoning" for pair in rows.values()]) for place in (0, 1))
    return {
        "labelled": len(final),
        "reasoning": sum(label == "Reasoning" for label in final.values()),
        **agreement(first, second, plan["seed"]),
    }


def agreement(first: np.ndarray, second: np.ndarray, seed: int = 0) -> dict[str, float | int | None]:
    """How many of two people's yes/no labels differ, and Cohen's kappa with a 95 % interval.

    The interval is of the kappa of tables drawn from a Dirichlet distribution of the counts with one half added to each
    (Jeffreys): a bootstrap of two people who agree everywhere is sure that they always will. It is the kappa of the
    questions drawn, which are those that the classifier finds hard: of all questions it would be higher.
    None where one label is all there is.
    """
    table = np.array([[np.sum((first == a) & (second == b)) for b in (False, True)] for a in (False, True)])
    spread = _kappa(np.random.default_rng(seed).dirichlet(table.ravel() + 0.5, _DRAWS).reshape(-1, 2, 2))
    value = float(_kappa(table[None])[0])
    low, high = np.percentile(spread, [2.5, 97.5]) if np.isfinite(value) else (np.nan, np.nan)
    known = {"kappa": value, "kappa_low": float(low), "kappa_high": float(high)}
    return {
        "differ": int(table[0, 1] + table[1, 0]),
        **{name: number if np.isfinite(number) else None for name, number in known.items()},
    }


def _kappa(tables: np.ndarray) -> np.ndarray:
    """Cohen's kappa of tables shaped (n, 2, 2); NaN where chance alone agrees fully."""
    shares = tables / tables.sum(axis=(1, 2), keepdims=True)
    agreed = shares[:, 0, 0] + shares[:, 1, 1]
    expected = (shares.sum(axis=2) * shares.sum(axis=1)).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(expected < 1, (agreed - expected) / (1 - expected), np.nan))


def _sheet_row(item: Item) -> list[str]:
    options = "\n".join(f"{letter}. {text}" for letter, text in item.options.items())
    return [item.id, item.dataset_name, item.context or "", item.question, options, "", "", ""]


def _read_design(design: Path) -> dict[str, Any]:
    """What `draw` wrote beside the sheet."""
    try:
        plan = json.loads(design.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{design}: cannot be read ({error}); --design: give the {DESIGN} of the draw") from None
    if not isinstance(plan, dict) or plan.get("schema_version") != SCHEMA_VERSION:
        version = plan.get("schema_version") if isinstance(plan, dict) else None
        raise InputError(f"{design}: schema_version: {version!r}, not {SCHEMA_VERSION}; draw again")
    if missing := {"items_digest", "drawn", "probability", "seed"} - plan.keys():
        raise InputError(f"{design}: {min(missing)}: missing; draw again")
    return plan


def _read_sheet(sheet: Path, drawn: list[str]) -> dict[str, tuple[str, str, str]]:
    """(label_1, label_2, label) of every drawn item; label may be empty."""
    found: dict[str, tuple[str, str, str]] = {}
    wanted = set(drawn)
    try:
        text = sheet.read_text(encoding="utf-8-sig")
        lines = list(csv.DictReader(io.StringIO(text, newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{sheet}: cannot be read ({error}); give the filled {SHEET}") from None
    for number, row in enumerate(lines, start=2):
        item_id = (row.get("id") or "").strip()
        if item_id not in wanted or item_id in found:
            what = "a second row of this item" if item_id in found else "not an item that was drawn"
            raise InputError(f"{sheet}: row {number}: id: {item_id!r}: {what}; keep the rows of the sheet")
        labels = [(row.get(name) or "").strip().capitalize() for name in ("label_1", "label_2", "label")]
        for name, label, may_be_empty in zip(("label_1", "label_2", "label"), labels, (0, 0, 1), strict=True):
            if label not in QUESTION_TYPES and not (may_be_empty and not label):
                raise InputError(
                    f"{sheet}: row {number}: {name}: {row.get(name)!r} is neither {' nor '.join(QUESTION_TYPES)}"
                )
        found[item_id] = (labels[0], labels[1], labels[2])
    if missing := [item_id for item_id in drawn if item_id not in found]:
        raise InputError(f"{sheet}: {missing[0]}: its row is missing, with {len(missing) - 1} others; keep all rows")
    return found


def _labelled(item: Item, of_group: dict[str, str], probability: dict[str, float]) -> Item:
    if item.id not in probability:
        return item
    meta = {**item.meta, LABEL_PROBABILITY: probability[item.id]}
    return item.with_(question_type=of_group.get(group_of(item)), meta=meta)
