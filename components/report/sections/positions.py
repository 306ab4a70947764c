"""Options in another order: which places a model prefers whatever stands there, and how many answers move."""

from __future__ import annotations

from components.report.charts import MODELS, Dot, Group, around_zero, dots
from components.report.claims import ALPHA
from components.report.page import Cell, Figure, Section, Table
from components.report.scores import Record, Scores, lead_words, short_setting
from components.report.tables import count, row_head, row_name
from components.report.wording import is_number, join, percent, points, signed, spread
from components.scoring.proportions import holm

TITLE = "Options in another order"
Preferred = list[tuple[Record, bool]]  # a place's record, and whether its bias holds beside the others


def section(scores: Scores) -> Section | None:
    """Position bias and answers that move; None where options were shown in one order only."""
    if not scores.positions:
        return None
    figure = bias_figure(scores)
    tables = [moved_table(scores), bias_table(scores)]
    return Section("positions", TITLE, position_sentences(scores), [figure] if figure else [], tables)


def position_sentences(scores: Scores) -> list[str]:
    """By model: the places preferred or avoided beyond error, then how many answers move with the order."""
    out: list[str] = []
    places = preferred(scores)
    tests = sum(len(own) for own in places.values())
    for model in scores.models:
        if own := places.get(model):
            out.append(_bias(model, own, tests))
        out += [_moves(r) for r in _lead(scores, "moved") if r["model"] == model and r["stratum"] == "all"]
    if any(holds for own in places.values() for _, holds in own) and any(scores.opened(m) for m in places):
        out.append(
            "A prefill names a letter, so a preference for a place takes part in what a prefill changes: read the "
            "changes after prefills together with these figures."
        )
    return out


def preferred(scores: Scores) -> dict[str, Preferred]:
    """By model the places of its options, with Holm's adjustment over all models and places of the lead setting."""
    records = _lead(scores, "position")
    found: dict[str, Preferred] = {}
    for record, p in zip(records, holm([r["p"] for r in records]), strict=True):
        found.setdefault(record["model"], []).append((record, p <= ALPHA))
    return found


def _bias(model: str, places: Preferred, tests: int) -> str:
    held = [record for record, holds in places if holds]
    parts = []
    for word, side in (("prefers", 1), ("avoids", -1)):
        own = sorted((r for r in held if side * r["bias"] > 0), key=lambda r: -abs(r["bias"]))
        if own:
            told = [
                f"{r['position']} ({points(r['bias'])}, {spread(r['bias_low'], r['bias_high'], True)})" for r in own
            ]
            parts.append(f"{word} the {'place' if len(own) == 1 else 'places'} {join(told)}")
    if not parts:
        return f"{model} shows no preference for a place beyond error (Holm's adjustment over {tests} places)."
    return f"{model} {' and '.join(parts)}, whatever option stands there (Holm's adjustment over {tests} places)."


def _moves(found: Record) -> str:
    shown = f" ({spread(found['moved_low'], found['moved_high'])})" if is_number(found.get("moved_low")) else ""
    said = (
        f"With its options in another order, {found['model']} gives another option on {percent(found['moved'])}{shown} "
        f"of the questions: {percent(found['to_wrong'])} went from right to wrong, {percent(found['to_right'])} from "
        f"wrong to right, and {percent(found['same_place'])} kept the letter instead of the text."
    )
    if not is_number(found.get("by_chance")):
        return said
    beyond = (
        f"{points(found['beyond_chance'])}, {spread(found['beyond_chance_low'], found['beyond_chance_high'], True)}"
    )
    if found["beyond_chance_low"] > 0:
        verdict = "the order moves more than that"
    else:
        verdict = "the order is not shown to move more than that"
    return f"{said} Two samples in one order differ on {percent(found['by_chance'])}: {verdict} ({beyond})."


def bias_figure(scores: Scores) -> Figure | None:
    """The bias of each place, for the first models."""
    records = [r for r in _lead(scores, "position") if r["model"] in scores.models[: len(MODELS)]]
    models = [m for m in scores.models if any(r["model"] == m for r in records)]
    kinds = dict(zip(models, MODELS, strict=False))
    by_place: dict[str, list[Record]] = {}
    for record in records:
        by_place.setdefault(record["position"], []).append(record)
    groups, said = [], []
    for place, own in sorted(by_place.items()):
        rows = tuple(Dot(kinds[r["model"]], r["bias"], r["bias_low"], r["bias_high"]) for r in own)
        groups.append(Group(place, " · ".join(signed(r["bias"]) for r in own), rows))
        said.append(f"{place}: " + ", ".join(f"{r['model']} {points(r['bias'])}" for r in own))
    if not groups:
        return None
    label = (
        f"Answers at each place beyond what the chosen texts explain, {lead_words(scores)}. " + "; ".join(said) + "."
    )
    drawing = dots(label, groups, around_zero(groups), [(kinds[m], m) for m in models], zero=True)
    caption = "Answers at each place beyond what the chosen texts explain, in points. Bars are 95 % intervals."
    if len({r["model"] for r in _lead(scores, "position")}) > len(models):
        caption += f" Of the first {len(models)} models; the table has all."
    return Figure(drawing, caption)


def moved_table(scores: Scores) -> Table:
    """How many answers moved with the order, by model, setting and stratum."""
    rows: list[tuple[Cell, ...]] = []
    starts: set[int] = set()
    for model in scores.models:
        starts.add(len(rows))
        for found in (r for r in scores.positions if (r["kind"], r["model"]) == ("moved", model)):
            rows.append(
                (
                    row_name(scores, model, f"{short_setting(found['setting'])}, {found['stratum']}"),
                    Cell(count(found["n"])),
                    Cell(percent(found["moved"]), spread(found["moved_low"], found["moved_high"])),
                    Cell(percent(found["to_wrong"])),
                    Cell(percent(found["to_right"])),
                    Cell(percent(found["same_place"])),
                    Cell(percent(found["by_chance"]) if is_number(found["by_chance"]) else "–"),
                    Cell(percent(found["unanswered"])),
                )
            )
    head = (row_head(scores), "Questions", "Moved", "To wrong", "To right", "Same letter", "By chance", "Unanswered")
    note = (
        "Of the questions that were answered in both orders. Same letter: the answer kept its place, not its text. By "
        "chance: how often two samples in one order differ. Unanswered: one of the two answers names no option."
    )
    return Table("Answers that move with the order", head, tuple(rows), note, frozenset(starts), compact=True)


def bias_table(scores: Scores) -> Table:
    """The answers at each place in both orders beside the keys there, and the bias."""
    rows: list[tuple[Cell, ...]] = []
    starts: set[int] = set()
    last = None
    for found in (r for m in scores.models for r in scores.positions if (r["kind"], r["model"]) == ("position", m)):
        if (key := (found["model"], found["setting"])) != last:
            starts.add(len(rows))
            last = key
        rows.append(
            (
                row_name(scores, found["model"], f"{short_setting(found['setting'])}, {found['position']}"),
                Cell(percent(found["original"]), f"key {percent(found['keys_original'])}"),
                Cell(percent(found["permuted"]), f"key {percent(found['keys_permuted'])}"),
                Cell(percent(found["offered"])),
                Cell(signed(found["bias"]), spread(found["bias_low"], found["bias_high"], True)),
                Cell(f"{found['p']:.2g}"),
            )
        )
    head = (row_head(scores), "Original order", "Other order", "Offered", "Bias, points", "p")
    note = (
        "The share of answers at each place, and of right options there. Bias: answers beyond what the chosen texts "
        "explain, with its 95 % interval; p is not adjusted. Offered: questions that have this place."
    )
    return Table("Answers by place", head, tuple(rows), note, frozenset(starts), compact=True, folded=True)


def _lead(scores: Scores, kind: str) -> list[Record]:
    """The records of one kind in the setting that stands for a model's accuracy."""
    return [r for r in scores.positions if (r["kind"], r["setting"]) == (kind, scores.lead)]
