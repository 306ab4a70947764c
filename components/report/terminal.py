"""Scores and decisions as tables on the terminal, of `score` and `compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from components.report.scores import PLAIN, changes
from components.scoring.outcomes import ADVERSARIAL, STRATA
from components.scoring.strata_gaps import raw

_SHOWN = (PLAIN, ADVERSARIAL)


def print_scores(
    scores: Mapping[str, Any], models: Sequence[str] | None = None, console: Console | None = None
) -> None:
    """Accuracy by model, setting and stratum over all benchmarks, then gaps and changes."""
    console = console or _console()
    cells = [c for c in scores["cells"] if models is None or c["model"] in models]
    settings = [s for s in _SHOWN if any(c["setting"] == s for c in cells)] or sorted({c["setting"] for c in cells})
    table = _table(
        "Accuracy, percent (95 % interval)", "model", "setting", "stratum", "accuracy", "chance", "items", "groups"
    )
    for column in ("no answer", "not asked"):
        table.add_column(column, justify="right")
    for cell in cells:
        if cell["benchmark"] == "all" and cell["setting"] in settings:
            table.add_row(
                *(cell[key] for key in ("model", "setting", "stratum")),
                _interval(cell["accuracy"], cell["ci_low"], cell["ci_high"]),
                _percent(cell["chance"]),
                *(f"{cell[key]:g}" for key in ("n", "groups", "no_answer", "not_asked")),
            )
    console.print(table)
    _print_benchmarks(console, cells)
    _print_gaps(console, [g for g in scores["gaps"] if models is None or g["model"] in models])
    _print_changes(console, [c for c in changes(scores) if models is None or c["model"] in models])


def print_decision(decision: Mapping[str, Any], console: Console | None = None) -> None:
    """Each rule of the gate with its verdict and its reason in words."""
    console = console or _console()
    table = _table(f"Gate: {decision['decision']} {decision['candidate']} over {decision['baseline']}", "rule", "holds")
    table.add_column("why", overflow="fold")
    for reason in decision["reasons"]:
        table.add_row(reason["rule"], "yes" if reason["passed"] else "NO", reason["text"])
    console.print(table)
    if not decision.get("comparisons"):
        return
    heads = (
        "setting",
        "stratum",
        "items",
        "groups",
        "difference",
        "p (t)",
        "p (sign flips)",
        "p (McNemar)",
        "detectable",
    )
    table = _table("Candidate minus baseline, points (95 % interval)", *heads)
    for row in decision["comparisons"]:
        table.add_row(
            row["setting"],
            row["stratum"],
            *(f"{row[key]:g}" for key in ("n", "groups")),
            _interval(row["estimate"], row["ci_low"], row["ci_high"], True),
            *("-" if row[key] is None else f"{row[key]:.2g}" for key in ("p", "p_sign_flip", "p_mcnemar")),
            _percent(row["detectable"]),
        )
    console.print(table)


def _print_benchmarks(console: Console, cells: Sequence[Mapping[str, Any]]) -> None:
    """Plain accuracy per benchmark, where there is more than one."""
    plain = [c for c in cells if c["setting"] == "plain" and c["stratum"] == "all" and c["benchmark"] != "all"]
    names = list(dict.fromkeys(c["benchmark"] for c in plain))
    if len(names) <= 2:
        return
    models = list(dict.fromkeys(c["model"] for c in plain))
    table = _table("Plain accuracy by benchmark, percent (95 % interval)", "benchmark", *models)
    found = {(c["model"], c["benchmark"]): _interval(c["accuracy"], c["ci_low"], c["ci_high"]) for c in plain}
    for name in names:
        table.add_row(name, *(found.get((model, name), "-") for model in models))
    console.print(table)


def _print_gaps(console: Console, gaps: Sequence[Mapping[str, Any]]) -> None:
    rows = [g for g in gaps if g["benchmark"] == "all" and g["setting"] in _SHOWN and raw(g)]
    if not rows:
        return
    kinds = ("pooled", "within_benchmark", "macro")
    titles = (k.replace("_", " ") for k in kinds)
    table = _table("Knowledge minus reasoning, points (95 % interval)", "model", "setting", "strata", *titles)
    found = {(g["model"], g["setting"], g["weighting"], g["kind"]): g for g in rows}
    for model, setting, weighting in dict.fromkeys(key[:3] for key in found):
        shown = (found.get((model, setting, weighting, kind)) for kind in kinds)
        table.add_row(
            model,
            setting,
            weighting,
            *(_interval(g["estimate"], g["ci_low"], g["ci_high"], True) if g else "-" for g in shown),
        )
    console.print(table)


def _print_changes(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    table = _table("Adversarial minus plain, points (95 % interval)", "model", *STRATA)
    found = {(c["model"], c["stratum"]): c for c in rows}
    for model in dict.fromkeys(model for model, _ in found):
        shown = (found.get((model, stratum)) for stratum in STRATA)
        table.add_row(model, *(_interval(c["estimate"], c["ci_low"], c["ci_high"], True) if c else "-" for c in shown))
    console.print(table)


def _console() -> Console:
    """A terminal's own width; wide when the output goes to a file or a log, so that no figure is cut."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(
            column, justify="left" if place == 0 or column in ("setting", "stratum", "strata") else "right"
        )
    return table


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _interval(value: float | None, low: float | None, high: float | None, signed: bool = False) -> str:
    if value is None:
        return "-"
    form = "{:+.1f}" if signed else "{:.1f}"
    text = form.format(100 * value)
    return text if low is None or high is None else f"{text} ({form.format(100 * low)} to {form.format(100 * high)})"
