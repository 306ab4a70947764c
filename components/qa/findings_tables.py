"""The tables of the report as plain data: scores and decision in, captions, heads and cells out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.qa.findings import GAP_KINDS, Record, Scores
from components.qa.findings_gate import rules
from components.qa.wording import has_interval, is_difference, is_number, percent, rule_words, signed, spread

SETTINGS = {"plain": "plain", "adversarial": "with a wrong opening (mean of three)"}


@dataclass(frozen=True)
class Cell:
    """One cell: its text, a smaller second line, and a kind (`good`, `bad`, `muted`, `words`) for its looks."""

    text: str
    sub: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first cell of a row names it. Rows in `group_starts` get a heavier line.

    `compact` puts a cell's second line beside the first where the page is wide; `folded` shows the caption alone until
    a reader opens it.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    group_starts: frozenset[int] = frozenset()
    compact: bool = False
    folded: bool = False


def gate_table(decision: Record) -> Table:
    """Every rule of the gate with its figures and its own words."""
    rows = []
    for reason in rules(decision):
        passed = bool(reason.get("passed"))
        rows.append(
            (
                Cell(rule_words(reason)),
                Cell("holds" if passed else "does not hold", kind="good" if passed else "bad"),
                Cell(_signed(reason, "estimate"), _interval(reason, signed=is_difference(reason))),
                Cell(_signed(reason, "bound")),
                Cell(f"{reason['p']:.3g}" if is_number(reason.get("p")) else "–"),
                questions_cell(reason),
                Cell(str(reason.get("text") or ""), kind="words"),
            )
        )
    caption = f"Rules of the gate: {decision['candidate']} against {decision['baseline']}"
    note = "Candidate minus baseline in points, paired by question; intervals at the level of this decision."
    head = ("Rule", "Verdict", "Estimate", "Bound", "p", "Questions", "In words")
    return Table(caption, head, tuple(rows), note)


def strata_table(scores: Scores) -> Table:
    """Accuracy of every model by stratum and setting, over all benchmarks, with what was not answered."""
    rows: list[tuple[Cell, ...]] = []
    starts: set[int] = set()
    for model in scores.models:
        starts.add(len(rows))
        for setting in [s for s in SETTINGS if s in scores.settings]:
            for stratum in scores.strata:
                cell = scores.cell(model, setting, stratum)
                if cell is None:
                    continue
                rows.append(
                    (
                        _row_name(scores, model, f"{'plain' if setting == 'plain' else 'adversarial'}, {stratum}"),
                        accuracy_cell(cell),
                        Cell(percent(cell.get("accuracy_answered"))),
                        Cell(percent(cell.get("chance"))),
                        questions_cell(cell),
                        Cell(_share(cell, "no_answer")),
                        Cell(_share(cell, "truncated")),
                        Cell(_count(cell.get("not_asked"))),
                    )
                )
    head = (
        _row_head(scores),
        "Accuracy",
        "Of answered",
        "Chance",
        "Questions",
        "No answer",
        "Cut off",
        "Not asked",
    )
    note = (
        "Accuracy counts an output without a recognisable answer as wrong. Small figures are 95"
        " % intervals by question group. Adversarial: mean over the three openings of each question."
    )
    return Table("Accuracy over all benchmarks", head, tuple(rows), note, frozenset(starts), compact=True)


def gap_table(scores: Scores) -> Table:
    """The knowledge minus reasoning gap by the three ways of pooling, hard and soft strata."""
    rows: list[tuple[Cell, ...]] = []
    starts: set[int] = set()
    for model in scores.models:
        starts.add(len(rows))
        for setting in [s for s in SETTINGS if s in scores.settings]:
            for weighting in ("hard", "soft"):
                gaps = [scores.gap(model, kind, setting, weighting) for kind in GAP_KINDS]
                if any(gaps):
                    sub = f"{'plain' if setting == 'plain' else 'adversarial'}, {weighting} strata"
                    cells = (Cell(signed(g["estimate"]), _interval(g, True)) if g else Cell("–") for g in gaps)
                    rows.append((_row_name(scores, model, sub), *cells))
    head = (_row_head(scores), "Pooled", "Within benchmarks", "Mean of benchmarks")
    note = (
        "Positive: knowledge questions are answered better. Pooled as in the paper; within benchmarks: each "
        "benchmark's own gap, weighted by its questions; soft strata weigh each question by its probability."
    )
    return Table("Knowledge minus reasoning, in points", head, tuple(rows), note, frozenset(starts), compact=True)


def sensitivity_table(scores: Scores, model: str) -> Table | None:
    """The plain gap of one model for other thresholds on the reasoning probability."""
    found: dict[float, dict[str, Record]] = {}
    for record in scores.sensitivity:
        if record["model"] == model and record.get("benchmark") == "all" and is_number(record["estimate"]):
            found.setdefault(record["threshold"], {})[record["kind"]] = record
    rows = []
    for threshold, kinds in sorted(found.items()):
        gaps = (kinds.get(kind) for kind in ("pooled", "within_benchmark"))
        cells = (Cell(signed(g["estimate"]), _interval(g, True)) if g else Cell("–") for g in gaps)
        share = next(iter(kinds.values())).get("reasoning_share")
        rows.append((Cell(f"{threshold:.1f}"), Cell(percent(share, 0)), *cells))
    head = ("Threshold", "Called reasoning", "Pooled", "Within benchmarks")
    caption = f"The gap of {model} at other thresholds, in points"
    return Table(caption, head, tuple(rows), compact=True, folded=True) if rows else None


def drop_table(scores: Scores) -> Table | None:
    """Plain minus adversarial accuracy per model and stratum, paired over the same questions."""
    rows = []
    for model in scores.models:
        drops = [scores.drop(model, stratum) for stratum in scores.strata]
        if any(drops):
            cells = (Cell(signed(-d["estimate"]), _drop_interval(d)) if d else Cell("–") for d in drops)
            rows.append((Cell(model), *cells))
    if not rows:
        return None
    note = "Adversarial minus plain accuracy on the same questions: negative is a fall."
    return Table("Change under a wrong opening, in points", ("Model", *scores.strata), tuple(rows), note)


def pairs_table(
    caption: str, pairs: Mapping[str, Any], head: tuple[str, str] = ("What", "Value"), note: str = ""
) -> Table:
    """A two-column table of names and values; nested records are flattened to dotted names."""
    rows = tuple((Cell(name), Cell(value, kind="words")) for name, value in flatten(pairs).items())
    return Table(caption, head, rows, note)


def flatten(record: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    out: dict[str, str] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            out.update(flatten(value, f"{prefix}{name}."))
        else:
            out[prefix + str(name)] = words(value)
    return out


def words(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(words(v) for v in value[:8]) + (f" and {len(value) - 8} more" if len(value) > 8 else "")
    return "none" if value is None else str(value)


def accuracy_cell(cell: Record | None, n: int | None = None) -> Cell:
    if cell is None or not is_number(cell.get("accuracy")):
        return Cell("–", kind="muted")
    sub = _interval(cell)
    return Cell(percent(cell["accuracy"]), sub if n in (None, cell["n"]) else f"{sub}, n {_count(cell['n'])}")


def _interval(record: Record, signed: bool = False) -> str:
    return spread(record["ci_low"], record["ci_high"], signed) if has_interval(record) else ""


def _drop_interval(drop: Record) -> str:
    return spread(-drop["ci_high"], -drop["ci_low"], True)


def _signed(reason: Record, name: str) -> str:
    if not is_number(reason.get(name)):
        return "–"
    if is_difference(reason):
        return signed(reason[name])
    return percent(reason[name]) if has_interval(reason) else f"{reason[name]:.3g}"


def questions_cell(record: Record) -> Cell:
    """How many questions, and how many of them are distinct where copies are among them."""
    copies = record.get("groups") != record.get("n")
    return Cell(_count(record.get("n")), f"{_count(record.get('groups'))} distinct" if copies else "")


def _row_head(scores: Scores) -> str:
    return "Model" if len(scores.models) > 1 else "Setting"


def _row_name(scores: Scores, model: str, sub: str) -> Cell:
    """The model and what of it a row shows; in a report on one model its name would only repeat."""
    return Cell(model, sub) if len(scores.models) > 1 else Cell(sub[:1].upper() + sub[1:])


def _count(value: Any) -> str:
    return f"{value:,}" if is_number(value) else "–"


def _share(cell: Record, name: str) -> str:
    """`no_answer` and `truncated` are counts of questions (a mean of counts in the adversarial cells)."""
    value = cell.get(name)
    if not is_number(value) or not cell["n"]:
        return "–"
    assert value is not None
    return percent(value / cell["n"])
