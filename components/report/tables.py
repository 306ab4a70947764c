"""The tables of the report as plain data: scores and decision in, captions, heads and cells out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.report.scores import Record, Scores, short_setting
from components.report.sections.gate import rules
from components.report.wording import has_interval, is_difference, is_number, percent, rule_words, signed, spread


@dataclass(frozen=True)
class Cell:
    """One cell: its text, smaller lines under it, and a kind (`good`, `bad`, `muted`, `words`) for its looks."""

    text: str
    sub: str = ""
    kind: str = ""
    more: str = ""  # a line of its own at any width


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
                Cell(_signed(reason, "estimate"), interval(reason, signed=is_difference(reason))),
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


def strata_table(scores: Scores, withheld: Mapping[tuple[str, str, str], float] | None = None) -> Table:
    """Accuracy of every model by stratum and setting, over all benchmarks, with what was not answered.

    `withheld` counts, by model, setting and stratum, the answers that an endpoint's content filter ended.
    """
    rows: list[tuple[Cell, ...]] = []
    starts: set[int] = set()
    for model in scores.models:
        starts.add(len(rows))
        for setting in scores.shown([model]):
            for stratum in scores.strata:
                if (cell := scores.cell(model, setting, stratum)) is None:
                    continue
                # Without a recorded end it is not known whether one was withheld either.
                known = 0 if is_number(cell.get("truncated")) else None
                filtered = (withheld or {}).get((model, setting, stratum), known)
                rows.append(
                    (
                        row_name(scores, model, f"{short_setting(setting)}, {stratum}"),
                        accuracy_cell(cell),
                        Cell(percent(cell.get("accuracy_answered"))),
                        Cell(percent(cell.get("chance"))),
                        questions_cell(cell),
                        Cell(_share(cell, cell.get("no_answer"))),
                        Cell(_share(cell, cell.get("truncated"))),
                        *([Cell(_share(cell, filtered))] if withheld else []),
                        Cell(_count(cell.get("not_asked"))),
                    )
                )
    head = [row_head(scores), "Accuracy", "Of answered", "Chance", "Questions", "No answer", "Cut off", "Not asked"]
    note = (
        "Accuracy counts an output without a recognisable answer as wrong. Small figures are 95"
        " % intervals by question group."
    )
    if any("adversarial" in scores.opened(model) for model in scores.models):
        note += " Adversarial: mean over the three openings of each question."
    if withheld:
        head.insert(-1, "Withheld")
        note += " Withheld: the endpoint's content filter ended the answer; what it let through was marked like any."
    return Table("Accuracy over all benchmarks", tuple(head), tuple(rows), note, frozenset(starts), compact=True)


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


def accuracy_cell(cell: Record | None, n: int | None = None, answered: bool = False) -> Cell:
    """Accuracy with its interval; `answered` adds the accuracy among answers that name an option, where it differs."""
    if cell is None or not is_number(cell.get("accuracy")):
        return Cell("–", kind="muted")
    text, sub = percent(cell["accuracy"]), interval(cell)
    among = percent(cell.get("accuracy_answered"))
    more = f"{among} of answered" if answered and is_number(cell.get("accuracy_answered")) and among != text else ""
    return Cell(text, sub if n in (None, cell["n"]) else f"{sub}, n {_count(cell['n'])}", more=more)


def interval(record: Record, signed: bool = False) -> str:
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


def row_head(scores: Scores) -> str:
    return "Model" if len(scores.models) > 1 else "Setting"


def row_name(scores: Scores, model: str, sub: str) -> Cell:
    """The model and what of it a row shows; in a report on one model its name would only repeat."""
    return Cell(model, sub) if len(scores.models) > 1 else Cell(sub[:1].upper() + sub[1:])


def _count(value: Any) -> str:
    return f"{value:,}" if is_number(value) else "–"


def _share(cell: Record, count: Any) -> str:
    """A count of questions (a sum of means in the adversarial cells) as a share of those asked."""
    return percent(count / cell["n"]) if is_number(count) and cell["n"] else "–"
