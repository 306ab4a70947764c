"""The questions that benchmarks ask: of BIOMED_R1_DATA where it is set, of the shipped samples elsewhere."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def real_questions(per_benchmark: int | None = None) -> list[Any]:
    """Items with three openings each, benchmark by benchmark; the first `per_benchmark` rows of each, or all.

    The few items that no template suits are left out.
    """
    from components.errors import InputError
    from components.platform.tables import read_items
    from components.questions.items import OPENINGS
    from components.questions.prefills.templates import make_openings

    folder = os.environ.get("BIOMED_R1_DATA")
    root = Path(folder) if folder else Path(str(find_spec("components.samples").submodule_search_locations[0]))  # type: ignore
    items = []
    for path in sorted((root / "benchmarks").glob("*.jsonl")):
        for item in read_items(path)[:per_benchmark]:
            try:
                made = make_openings(item, 0, "evaluation")
            except InputError:
                continue
            texts = {name: getattr(item, name) or text for name, text in zip(OPENINGS, made, strict=True)}
            items.append(item.with_(**texts))
    return items


def where_from() -> str:
    return "real questions (BIOMED_R1_DATA)" if os.environ.get("BIOMED_R1_DATA") else "shipped samples"
