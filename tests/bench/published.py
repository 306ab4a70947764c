"""`make report-published`: knowledge-reasoning gaps of ten published models, measured several ways, as Markdown.

Needs BIOMED_R1_DATA (real benchmarks and published letters); no question of it is written anywhere. MedXpertQA has its
experts' labels. The other sets get theirs from --items (a stratified Parquet file of ours) or, without it, from a bag
of words fitted to MedXpertQA's labels (out of fold there), at the threshold that calls the paper's share of all shared
questions reasoning. `docs/published-gaps.md` is the output.
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
from components.questions.items import Item, group_of
from components.questions.published import REASONING_SHARE
from components.scoring.bootstrap import DRAWS
from components.scoring.cells import score
from components.scoring.gaps.label_error import attenuation_soft
from components.scoring.outcomes import ItemTable, grade, item_table

Rows = list[tuple[str, dict[str, Any]]]
EXPERTS = "MedXpertQA"
PAGE = Path(__file__).with_name("published-gaps.in.md")


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
    return [
        item.with_(is_reasoning=item.question_type == "Reasoning", reasoning_prob=None) if item.question_type else item
        for item in classified(items, everything, ours)
    ]


def classified(items: Sequence[Item], everything: Sequence[Item], ours: Path | None) -> list[Item]:
    """The items with a classifier's strata everywhere: ours or the bag of words'."""
    if ours is not None:
        known = {item.id: item for item in read_items(ours)}
        prob = {i.id: known[i.id].reasoning_prob for i in items if i.id in known}
        called = {i.id: known[i.id].is_reasoning for i in items if i.id in known}
    else:
        prob = bag_of_words(everything)
        threshold = float(np.quantile(list(prob.values()), 1 - REASONING_SHARE))
        called = {i.id: prob[i.id] >= threshold for i in items}
    return [item.with_(is_reasoning=called.get(item.id), reasoning_prob=prob.get(item.id)) for item in items]


def bag_of_words(items: Sequence[Item]) -> dict[str, float]:
    """P(reasoning) of every item from TF-IDF and logistic regression fitted to the labelled ones, those out of fold."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    model = make_pipeline(words, LogisticRegression(C=3.0, max_iter=2000))
    labelled = [item for item in items if item.question_type]
    texts, labels = [stem(i) for i in labelled], [i.question_type == "Reasoning" for i in labelled]
    folds = GroupKFold(5).split(texts, groups=[group_of(i) for i in labelled])
    held_out = cross_val_predict(model, texts, labels, cv=list(folds), method="predict_proba")[:, 1]
    scores = model.fit(texts, labels).predict_proba([stem(i) for i in items])[:, 1]
    found = {item.id: float(p) for item, p in zip(items, scores, strict=True)}
    return found | {item.id: float(p) for item, p in zip(labelled, held_out, strict=True)}


def models_of(record: dict[str, Any]) -> tuple[list[str], str]:
    """The models to show, by accuracy, and a line on those left out.

    A model asked only some of the items (QwQ-32B) has gaps of other items: not in the same table.
    """
    whole = [c for c in record["cells"] if (c["stratum"], c["benchmark"]) == ("all", "all")]
    covered = [c for c in whole if c["not_asked"] < 0.5 * c["n"]]
    left_out = [f"{c['model']} ({c['n']:,} items, {c['not_asked']:,} not asked)" for c in whole if c not in covered]
    shown = [c["model"] for c in sorted(covered, key=lambda c: -c["accuracy"])]
    return shown, f"\nLeft out: {', '.join(left_out)}.\n" if left_out else ""


def raw_table(record: dict[str, Any]) -> str:
    """Markdown: accuracies and gaps by the strata given, pooled, split and within benchmarks."""
    cells = {(c["model"], c["stratum"], c["benchmark"]): c for c in record["cells"]}
    gaps = Gaps(record)
    heads = ["Model", "Items", "Knowledge", "Reasoning", "Gap pooled", "Gap within benchmarks", "Gap macro", EXPERTS]
    heads += ["Between benchmarks", "Within (Kitagawa)", "Holm p, within"]
    rows = [
        [
            model,
            f"{cells[model, 'all', 'all']['n']:,}",
            *(f"{100 * cells[model, stratum, 'all']['accuracy']:.1f}" for stratum in ("knowledge", "reasoning")),
            *(gaps.cell(model, kind) for kind in ("pooled", "within_benchmark", "macro")),
            gaps.cell(model, "within_benchmark", benchmark=EXPERTS),
            *(gaps.cell(model, f"kitagawa_{part}") for part in ("between", "within")),
            gaps.p(model, "within_benchmark"),
        ]
        for model in models_of(record)[0]
    ]
    return markdown(heads, rows)


def chance_table(record: dict[str, Any]) -> str:
    """Markdown: the same gaps over guessing."""
    gaps = Gaps(record)
    heads = ["Model", "Pooled, raw", "Pooled, over guessing", "Pooled, over own letters", "Within, raw"]
    heads += ["Within, over guessing", "Holm p"]
    rows = [
        [
            model,
            gaps.cell(model, "pooled"),
            *(gaps.cell(model, "pooled", adjustment=name) for name in ("chance", "letters")),
            gaps.cell(model, "within_benchmark"),
            gaps.cell(model, "within_benchmark", adjustment="chance"),
            gaps.p(model, "within_benchmark", adjustment="chance"),
        ]
        for model in models_of(record)[0]
    ]
    return markdown(heads, rows)


def error_table(record: dict[str, Any]) -> str:
    """Markdown: what the classifier's errors do to the gap, by its own calls everywhere."""
    gaps = Gaps(record)
    heads = ["Model", "Pooled, hard", "Factor", "Pooled, slope", "Bounds, pooled", "Within, hard", "Factor"]
    heads += ["Within, slope", "Within, matrix", "Holm p, slope"]
    rows = []
    for model in models_of(record)[0]:
        pooled, within = gaps.find(model, "pooled"), gaps.find(model, "within_benchmark")
        assert pooled and within
        row = [model, gaps.cell(model, "pooled"), f"{pooled['attenuation']:.2f}"]
        row += [gaps.cell(model, "pooled", "slope")]
        row += [f"{100 * pooled['bound_low']:+.0f} to {100 * pooled['bound_high']:+.0f}"]
        row += [gaps.cell(model, "within_benchmark"), f"{within['attenuation']:.2f}"]
        row += [gaps.cell(model, "within_benchmark", weighting) for weighting in ("slope", "matrix")]
        rows.append([*row, gaps.p(model, "within_benchmark", "slope")])
    return markdown(heads, rows)


def expert_table(record: dict[str, Any]) -> str:
    """Markdown: on the items that experts labelled, the classifier's gap and theirs."""
    gaps = Gaps(record)
    heads = ["Model", "Classifier", "Factor", "Slope", "Experts", "Classifier minus experts", "Slope minus experts"]
    heads += ["Holm p"]
    rows = []
    for model in models_of(record)[0]:
        place = {"benchmark": EXPERTS}
        hard = gaps.find(model, "within_benchmark", **place)
        assert hard
        row = [model, gaps.cell(model, "within_benchmark", **place), f"{hard['attenuation']:.2f}"]
        names = ("slope", "expert", "hard_minus_expert", "slope_minus_expert")
        row += [gaps.cell(model, "within_benchmark", weighting, **place) for weighting in names]
        rows.append([*row, gaps.p(model, "within_benchmark", "slope_minus_expert", **place)])
    return markdown(heads, rows)


class Gaps:
    """Gap records by what they are."""

    def __init__(self, record: dict[str, Any]) -> None:
        names = ("model", "kind", "weighting", "adjustment", "benchmark")
        self._found = {tuple(gap[name] for name in names): gap for gap in record["gaps"]}

    def find(
        self, model: str, kind: str, weighting: str = "hard", adjustment: str = "none", benchmark: str = "all"
    ) -> dict[str, Any] | None:
        return self._found.get((model, kind, weighting, adjustment, benchmark))

    def cell(self, model: str, kind: str, weighting: str = "hard", **place: str) -> str:
        found = self.find(model, kind, weighting, **place)
        if found is None:
            return "n/a"
        estimate = f"{100 * found['estimate']:+.1f}"
        if found["ci_low"] is None:
            return f"{estimate} (too few)"
        return f"{estimate} ({100 * found['ci_low']:+.1f} to {100 * found['ci_high']:+.1f})"

    def p(self, model: str, kind: str, weighting: str = "hard", **place: str) -> str:
        found = self.find(model, kind, weighting, **place)
        return "n/a" if found is None or found["p_holm"] is None else f"{found['p_holm']:.2g}"


def refuted(record: dict[str, Any]) -> str:
    """For how many models the slope on the experts' items is another than the experts' gap."""
    found = [g for g in record["gaps"] if (g["weighting"], g["benchmark"]) == ("slope_minus_expert", EXPERTS)]
    shown = [g for g in found if g["model"] in models_of(record)[0]]
    return f"{sum(g['p_holm'] < 0.05 for g in shown)} of {len(shown)}"


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def baselines(table: ItemTable) -> str:
    """In words, what guessing gets in each benchmark."""
    assert table.guess is not None
    found = [(n, table.guess.baseline[table.benchmark == b].mean()) for b, n in enumerate(table.benchmarks)]
    return ", ".join(f"{name} {100 * share:.1f}" for name, share in found)


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
    asked, everything = answered_items(data), benchmark_items(data)
    called = classified(asked, everything, options.items)
    records = [
        score(item_table(items), grade(items, answer_rows(data)), draws=options.draws)
        for items in (stratify(asked, everything, options.items), called)
    ]
    if options.json:
        both = dict(zip(("experts_first", "classifier"), records, strict=True))
        options.json.write_text(json.dumps(both, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    tables = raw_table(records[0]), chance_table(records[0]), error_table(records[1]), expert_table(records[1])
    table = item_table(called)
    facts = {
        "baselines": baselines(table),
        "soft": f"{attenuation_soft(table.prob, np.ones(len(table))):.2f}",
        "refuted": refuted(records[1]),
        "left_out": models_of(records[0])[1],
        "strata": f"of {options.items.name}" if options.items else "a bag of words fitted to the experts' labels",
    }
    page = PAGE.read_text(encoding="utf-8")
    print(page.format(**facts, **dict(zip(("raw", "chance", "error", "expert"), tables, strict=True))), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
