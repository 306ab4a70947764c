"""Published figures set beside ours, as tables of the report."""

from __future__ import annotations

from collections.abc import Sequence

from components.qa import published
from components.qa.findings import Scores
from components.qa.findings_tables import Cell, Table, accuracy_cell
from components.qa.wording import percent


def paper_table(scores: Scores, share: float | None, agreement: float | None, model: str) -> Table:
    """The paper's headline figures in both versions beside ours; `model` is the one of ours to show."""
    pairs: list[tuple[Cell, ...]] = [
        _paper_row("Questions that need reasoning", published.REASONING_SHARE, percent(share)),
        _paper_row("Classifier agrees with experts", published.EXPERT_AGREEMENT, percent(agreement)),
    ]
    knowledge, reasoning = (scores.cell(model, "plain", s) for s in ("knowledge", "reasoning"))
    plain, adversarial = (scores.cell(model, s) for s in ("plain", "adversarial"))
    for title, facts, ours in (
        ("Knowledge / reasoning accuracy", published.KNOWLEDGE_AND_REASONING, (knowledge, reasoning)),
        ("Plain / adversarial accuracy", published.PLAIN_AND_ADVERSARIAL, (plain, adversarial)),
    ):
        theirs = [Cell(f"{100 * a:.1f} / {100 * b:.1f}", name) for _, name, a, b in facts]
        found = [c for c in ours if c]
        text = " / ".join(f"{100 * c['accuracy']:.1f}" for c in found) if len(found) == 2 else "n/a"
        pairs.append((Cell(title), *theirs, Cell(text, model)))
    note = (
        "Not a like-for-like comparison: BioMed-R1 has 8 or 32 billion parameters, and the paper's models answered all "
        "12,609 questions. A small model on a sample of them, with other openings and another classifier, cannot be "
        "measured against that. Pairs are in percent."
    )
    return Table(
        "The paper's figures beside ours", ("Quantity", "v1 (May 2025)", "v2 / EACL 2026", "Here"), tuple(pairs), note
    )


def public_table(scores: Scores, models: Sequence[str]) -> Table:
    """Public accuracies of other models per benchmark, beside the plain accuracies of ours."""
    rows = []
    for benchmark in scores.benchmarks:
        if not any(benchmark in row for row in published.ACCURACIES.values()):
            continue
        theirs = (Cell(percent(row.get(benchmark))) for row in published.ACCURACIES.values())
        ours = (accuracy_cell(scores.cell(m, "plain", "all", benchmark)) for m in models)
        rows.append((Cell(benchmark), *ours, *theirs))
    note = "Public figures: model card of II-Medical-8B-SFT, whole test sets. A check of plausibility, not a ranking."
    head = ("Benchmark", *(f"{m} (here)" for m in models), *published.ACCURACIES)
    return Table("Public accuracies of other models on these benchmarks", head, tuple(rows), note, folded=True)


def _paper_row(title: str, fact: float, ours: str) -> tuple[Cell, ...]:
    return Cell(title), Cell(percent(fact)), Cell(percent(fact)), Cell(ours)
