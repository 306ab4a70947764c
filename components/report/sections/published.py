"""Published figures set beside ours: the paper's headline figures, and public accuracies of other models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from components.questions import published
from components.questions.items import Item
from components.report.page import Cell, Section, Table
from components.report.scores import Record, Scores
from components.report.tables import accuracy_cell
from components.report.wording import is_number, percent


def section(scores: Scores, items: Iterable[Item], classifier: Record | None, model: str) -> Section:
    """The published figures beside those of this run; `model` is shown where none of ours is one of the paper's."""
    flags = [bool(item.is_reasoning) for item in items if item.is_reasoning is not None]
    share = sum(flags) / len(flags) if flags else None
    agreement = ((classifier or {}).get("metrics") or {}).get("accuracy")
    drawn = [paper_table(scores, share, agreement, model), public_table(scores, scores.models)]
    sentence = (
        "The paper finds that every model answers knowledge better than reasoning, and that adversarial prefills cost "
        "biomedical models most. The sections above test both on these answers."
    )
    return Section("paper", "Beside the published figures", [sentence], [], [t for t in drawn if t.rows])


def paper_table(scores: Scores, share: float | None, agreement: float | None, model: str) -> Table:
    """The paper's headline figures in both versions beside ours.

    A pair is shown of the model that the paper's second version, else its first, quotes where that is among ours, and
    of `model` where neither is.
    """
    pairs: list[tuple[Cell, ...]] = [
        _paper_row("Questions that need reasoning", published.REASONING_SHARE, percent(share)),
        _paper_row("Classifier agrees with experts", published.EXPERT_AGREEMENT, percent(agreement)),
    ]
    for title, facts, places in (
        (
            "Knowledge / reasoning accuracy",
            published.KNOWLEDGE_AND_REASONING,
            (("plain", "knowledge"), ("plain", "reasoning")),
        ),
        ("Plain / adversarial accuracy", published.PLAIN_AND_ADVERSARIAL, (("plain", "all"), ("adversarial", "all"))),
    ):
        theirs = [Cell(f"{100 * a:.1f} / {100 * b:.1f}", name) for _, name, a, b in facts]
        own = next((m for _, name, *_ in reversed(facts) if (m := _same(scores, name))), model)
        found = [c for setting, stratum in places if (c := scores.cell(own, setting, stratum))]
        known = [f"{100 * c['accuracy']:.1f}" for c in found if is_number(c["accuracy"])]
        text = " / ".join(known) if len(known) == 2 else "n/a"
        pairs.append((Cell(title), *theirs, Cell(text, own)))
    note = (
        "Not a like-for-like comparison: BioMed-R1 has 8 or 32 billion parameters, and the paper's models answered all "
        "12,609 questions. A small model on a sample of them, with other prefills and another classifier, cannot be "
        "measured against that. Pairs are in percent."
    )
    return Table(
        "The paper's figures beside ours", ("Quantity", "v1 (May 2025)", "v2 / EACL 2026", "Here"), tuple(pairs), note
    )


def public_table(scores: Scores, models: Sequence[str]) -> Table:
    """Public plain accuracies per benchmark: right beside a model of ours of the same name, else after all of ours."""
    others = [name for name in published.ACCURACIES if name not in models]
    columns = [(name, here) for name in models for here in (True, False) if here or name in published.ACCURACIES]
    columns += [(name, False) for name in others]
    rows = []
    for benchmark in scores.benchmarks:
        if any(benchmark in row for row in published.ACCURACIES.values()):
            rows.append((Cell(benchmark), *(_accuracy(scores, name, here, benchmark) for name, here in columns)))
    note = "Public figures: model card of II-Medical-8B-SFT, whole test sets. A check of plausibility, not a ranking."
    head = ("Benchmark", *(f"{name} ({'here' if here else 'public'})" for name, here in columns))
    return Table("Public accuracies of other models on these benchmarks", head, tuple(rows), note, folded=True)


def _accuracy(scores: Scores, model: str, here: bool, benchmark: str) -> Cell:
    if here:
        return accuracy_cell(scores.cell(model, "plain", "all", benchmark))
    return Cell(percent(published.ACCURACIES[model].get(benchmark)))


def _same(scores: Scores, name: str) -> str | None:
    """The model of ours that the paper calls `name`: HuatuoGPT-o1-8B is a HuatuoGPT-o1."""
    return next((model for model in scores.models if model == name or model.startswith(f"{name}-")), None)


def _paper_row(title: str, fact: float, ours: str) -> tuple[Cell, ...]:
    return Cell(title), Cell(percent(fact)), Cell(percent(fact)), Cell(ours)
