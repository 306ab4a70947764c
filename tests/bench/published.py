"""`make report-published`: knowledge-reasoning gaps of ten published models, pooled and within benchmarks, as Markdown.

Needs BIOMED_R1_DATA (real benchmarks and published letters); nothing of it is written anywhere. MedXpertQA has its
experts' labels. The other sets get theirs from --items (a stratified Parquet file of ours) or, without it, from a bag
of words fitted to MedXpertQA's labels, at the threshold that calls the paper's share of all shared questions
reasoning.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from components.classifier.metrics import stem
from components.platform.tables import read_items, read_rows
from components.questions.items import Item
from components.questions.published import REASONING_SHARE
from components.scoring.bootstrap import DRAWS
from components.scoring.cells import score
from components.scoring.outcomes import grade, item_table

Rows = list[tuple[str, dict[str, Any]]]
EXPERTS = "MedXpertQA"


def data_folder() -> Path | None:
    """The folder that BIOMED_R1_DATA names, if it does."""
    value = os.environ.get("BIOMED_R1_DATA")
    return Path(value) if value else None


def benchmark_items(data: Path) -> list[Item]:
    """Every shared benchmark question."""
    return [item for path in sorted((data / "benchmarks").glob("*.jsonl")) for item in read_items(path)]


def published_letters(data: Path) -> Iterator[tuple[str, str, str]]:
    """(item id, model, letter) of every published answer."""
    for path in sorted((data / "predictions").glob("*.jsonl")):
        for row in read_rows(path):
            for model, letter in row["predictions"].items():
                if letter:
                    yield row["id"], model, letter


def answered_items(data: Path) -> list[Item]:
    """The questions that the published answers are to."""
    ids = {item_id for item_id, _, _ in published_letters(data)}
    return [item for item in benchmark_items(data) if item.id in ids]


def answer_rows(data: Path, phrase: Any = None) -> Rows:
    """Answer rows whose output states the published letter (`phrase(item id, letter)` words it)."""
    say = phrase or (lambda _, letter: f"The answer is {letter}.")
    return [
        (
            f"{model}: {item_id}",
            {"item_id": item_id, "model": model, "setting": "plain", "output": say(item_id, letter)},
        )
        for item_id, model, letter in published_letters(data)
    ]


def stratify(items: Sequence[Item], everything: Sequence[Item], ours: Path | None) -> list[Item]:
    """The items with strata: experts' where there are labels, else ours or the bag of words'."""
    if ours is not None:
        known = {item.id: item for item in read_items(ours)}
        prob = {i.id: known[i.id].reasoning_prob for i in items if i.id in known}
        called = {i.id: known[i.id].is_reasoning for i in items if i.id in known}
    else:
        prob = bag_of_words(everything)
        threshold = float(np.quantile(list(prob.values()), 1 - REASONING_SHARE))
        called = {i.id: prob[i.id] >= threshold for i in items}
    return [
        item.with_(is_reasoning=item.question_type == "Reasoning")
        if item.question_type
        else item.with_(is_reasoning=called.get(item.id), reasoning_prob=prob.get(item.id))
        for item in items
    ]


def bag_of_words(items: Sequence[Item]) -> dict[str, float]:
    """P(reasoning) of every item from TF-IDF and logistic regression fitted to the labelled ones."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    labelled = [item for item in items if item.question_type]
    model = LogisticRegression(C=3.0, max_iter=2000)
    model.fit(vectors.fit_transform([stem(i) for i in labelled]), [i.question_type == "Reasoning" for i in labelled])
    scores = model.predict_proba(vectors.transform([stem(i) for i in items]))[:, 1]
    return {item.id: float(p) for item, p in zip(items, scores, strict=True)}


def table(record: dict[str, Any]) -> str:
    """Markdown: one row per model, ordered by accuracy."""
    cells = {(c["model"], c["stratum"], c["benchmark"]): c for c in record["cells"]}
    gaps = {(g["model"], g["kind"], g["benchmark"]): g for g in record["gaps"] if g["weighting"] == "hard"}
    whole = [c for c in record["cells"] if (c["stratum"], c["benchmark"]) == ("all", "all")]
    # A model asked only some of the items (QwQ-32B) has gaps of other items: not in the same table.
    covered = [c for c in whole if c["not_asked"] < 0.5 * c["n"]]
    models = [c["model"] for c in sorted(covered, key=lambda c: -c["accuracy"])]
    heads = ["Model", "Items", "Knowledge", "Reasoning", "Gap pooled", "Gap within benchmarks", "Gap macro", EXPERTS]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for model in models:
        pooled = (gaps.get((model, kind, "all")) for kind in ("pooled", "within_benchmark", "macro"))
        row = [
            model,
            f"{cells[model, 'all', 'all']['n']:,}",
            *(f"{100 * cells[model, stratum, 'all']['accuracy']:.1f}" for stratum in ("knowledge", "reasoning")),
            *map(_gap, pooled),
            _gap(gaps.get((model, "within_benchmark", EXPERTS))),
        ]
        lines.append("| " + " | ".join(row) + " |")
    left_out = [f"{c['model']} ({c['n']:,} items, {c['not_asked']:,} not asked)" for c in whole if c not in covered]
    return "\n".join([*lines, *([f"\nLeft out: {', '.join(left_out)}."] if left_out else [])])


def _gap(found: dict[str, Any] | None) -> str:
    if found is None:
        return "n/a"
    estimate = f"{100 * found['estimate']:+.1f}"
    if found["ci_low"] is None:
        return f"{estimate} (too few)"
    return f"{estimate} ({100 * found['ci_low']:+.1f} to {100 * found['ci_high']:+.1f})"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=Path, help="stratified items of ours (Parquet)")
    parser.add_argument("--draws", type=int, default=DRAWS, help="bootstrap draws")
    parser.add_argument("--json", type=Path, help="write the scores record there too")
    options = parser.parse_args(arguments)
    data = data_folder()
    if data is None:
        print("report-published: set BIOMED_R1_DATA to the folder of real data; nothing was done")
        return 0
    items = stratify(answered_items(data), benchmark_items(data), options.items)
    record = score(item_table(items), grade(items, answer_rows(data)), draws=options.draws)
    if options.json:
        options.json.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print("Accuracy in percent; gaps (knowledge minus reasoning) in points with 95 % group-bootstrap intervals.\n")
    print(table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
