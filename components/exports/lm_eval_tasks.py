"""What exported lm-evaluation-harness tasks call: `biomed-r1 export --to lm-eval` puts a copy beside their YAML files.

biomed-r1 has to be installed where lm-eval runs. An answer is marked by the same extraction as `biomed-r1 score`, so
that `exact_match` of an item is its `correct`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.errors import InputError
from components.extraction import EXTRACTION_VERSION, extract

Row = Mapping[str, Any]


def load(file: str, extraction: str, **_: Any) -> dict[str, Any]:
    """The test split of a task, from `file` beside this one; raises InputError for another extraction rule's export."""
    from datasets import Dataset

    if extraction != EXTRACTION_VERSION:
        raise InputError(
            f"{file}: exported with extraction {extraction}, and this biomed-r1 has {EXTRACTION_VERSION}; export again"
        )
    # Not splitlines: U+2028 and its like stand inside a question as they are.
    lines = Path(__file__).with_name(file).read_text(encoding="utf-8").split("\n")
    return {"test": Dataset.from_list([json.loads(line) for line in lines if line])}


def process_results(doc: Row, results: Sequence[str]) -> dict[str, float]:
    """Marks one output: right or wrong, and whether it named no option (which counts as wrong)."""
    letter = extract(results[0], json.loads(doc["options"]))
    return {"exact_match": float(letter == doc["answer_idx"]), "no_answer": float(letter is None)}
