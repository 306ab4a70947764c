"""scores.json from items and graded answers: accuracy cells, knowledge-reasoning gaps, adversarial drops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.extraction import EXTRACTION_VERSION
from components.questions.askings import SETTINGS
from components.scoring.accuracy import Record, cell, macro
from components.scoring.askings.marking import Marked
from components.scoring.askings.positions import position_records
from components.scoring.askings.samples import sample_records
from components.scoring.bootstrap import DRAWS
from components.scoring.gaps.records import gaps_and_drops
from components.scoring.outcomes import ADVERSARIAL, STRATA, Answers, ItemTable, Mask, Outcomes
from components.scoring.slices import Slices, slice_records

SCHEMA_VERSION = 1
STATISTICS_VERSION = "3"
ALL, MACRO = "all", "macro"


def score(
    table: ItemTable,
    answers: Answers,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    answer_versions: Mapping[str, Mapping[str, str]] | None = None,
    marked: Marked | None = None,
    slices: Slices | None = None,
) -> dict[str, Any]:
    """The scores.json record: `cells`, `gaps`, `adversarial_drops`, and beside them `threshold_sensitivity`.

    A gap whose `above_chance` is not true is of answers that cannot be told from guesses: nothing is answered better.

    `answer_versions` is {model: what its answer file says of engine, prompt and decoding}, passed through. From the
    single answers, `marked`, come `samples` and `positions`; from `slices`, the items' values by column, come `slices`.
    """
    cells = [
        found
        for model, settings in answers.items()
        for setting in (*SETTINGS, ADVERSARIAL)
        if setting in settings
        for found in _cells(table, model, setting, settings[setting])
    ]
    gaps, drops, sensitivity = gaps_and_drops(table, answers, seed=seed, draws=draws)
    above = {(c["model"], c["setting"], c["benchmark"]): c["above_chance"] for c in cells if c["stratum"] == ALL}
    for gap in gaps:
        gap["above_chance"] = above[gap["model"], gap["setting"], gap["benchmark"]]
    versions = {"extraction": EXTRACTION_VERSION, "statistics": STATISTICS_VERSION, "seed": seed, "draws": draws}
    return {
        "schema_version": SCHEMA_VERSION,
        "versions": {**versions, "answers": {k: dict(v) for k, v in sorted((answer_versions or {}).items())}},
        "cells": cells,
        "gaps": gaps,
        "adversarial_drops": drops,
        "threshold_sensitivity": sensitivity,
        "samples": sample_records(table, marked or {}),
        "positions": position_records(table, marked or {}),
        "slices": slice_records(table, answers, slices or {}),
    }


def _cells(table: ItemTable, model: str, setting: str, outcomes: Outcomes) -> list[Record]:
    """Every stratum and benchmark of one model and setting that holds an item."""
    records = []
    for stratum in STRATA if table.stratified else STRATA[:1]:
        inside = table.mask(stratum)
        places: list[tuple[str, Mask]] = [(ALL, inside)]
        for code, name in enumerate(table.benchmarks):
            places.append((name, inside & (table.benchmark == code)))
        for name, mask in places:
            if mask.any():
                key = {"model": model, "setting": setting, "stratum": stratum, "benchmark": name}
                records.append({**key, **cell(table, outcomes, mask)})
        if inside.any():
            key = {"model": model, "setting": setting, "stratum": stratum, "benchmark": MACRO}
            records.append({**key, **macro(table, outcomes, inside)})
    return records
