"""Scores and decisions as tables on the terminal, of `score` and `compare`: short, and whole on a narrow one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.report.scores import PLAIN, Scores, changes
from components.report.sections.accuracy import strata_sentences
from components.report.sections.answered import unread_right
from components.report.sections.gaps import MEASURES
from components.report.sections.gate import changed, equivalence_sentences, seal_sentences, size_sentences
from components.report.sections.positions import position_sentences
from components.report.sections.samples import samples_sentences
from components.scoring.outcomes import ADVERSARIAL, STRATA

Record = Mapping[str, Any]

_SHOWN = (PLAIN, ADVERSARIAL)
_WIDE = 100  # columns from which a table shows more than its main figures
_LEFT = ("setting", "stratum", "measure", "value", "model")
_GAPS = {"pooled": "pooled", "within_benchmark": "within benchmark", "macro": "macro"}


def print_scores(scores: Record, models: Sequence[str] | None = None, console: Console | None = None) -> None:
    """Accuracy by model, setting and stratum over all benchmarks, then gaps, what they carry, and changes.

    Then slices by column, several samples and options in a second order, where they were asked for.
    """
    console = console or _console()
    chosen = dict(scores)
    for name in ("cells", "gaps", "adversarial_drops", "samples", "positions", "slices"):
        chosen[name] = [r for r in scores.get(name) or [] if models is None or r["model"] in models]
    _print_accuracies(console, chosen["cells"])
    _print_benchmarks(console, chosen["cells"])
    found = Scores(chosen)
    _print_gaps(console, found)
    for sentence in strata_sentences(found):
        console.print(escape(sentence), highlight=False)
    _print_changes(console, changes(chosen))
    _print_slices(console, found)
    for sentence in (*samples_sentences(found), *position_sentences(found)):
        console.print(escape(sentence), highlight=False)


def print_decision(decision: Record, console: Console | None = None) -> None:
    """Each rule of the gate with its verdict and its reason in words, what else was asked, and the differences."""
    console = console or _console()
    verdict = decision.get("verdict", decision["decision"])
    beside = "" if verdict == decision["decision"] else f" ({verdict})"
    title = f"Gate: {decision['decision']} {decision['candidate']} over {decision['baseline']}{beside}"
    table = _table(title, "rule", "holds")
    table.add_column("why", overflow="fold")
    for reason in decision["reasons"]:
        table.add_row(escape(reason["rule"]), "yes" if reason["passed"] else "NO", escape(reason["text"]))
    console.print(table)
    said = [*size_sentences(decision), *seal_sentences(decision), *equivalence_sentences(decision)]
    if names := changed(decision):
        said.append(f"Changed from the defaults: {', '.join(names)}.")
    for flip in decision.get("flips") or []:
        if (flip["setting"], flip["stratum"], flip["benchmark"]) == (PLAIN, "all", "all"):
            said.append(
                f"Plain answers that flipped: {flip['right_to_wrong']} right to wrong, {flip['wrong_to_right']} wrong "
                f"to right (McNemar p = {flip['p_mcnemar']:.2g})."
            )
    for sentence in said:
        console.print(escape(sentence), highlight=False)
    _print_comparisons(console, decision.get("comparisons") or [])


def _print_accuracies(console: Console, cells: Sequence[Record]) -> None:
    settings = [s for s in _SHOWN if any(c["setting"] == s for c in cells)] or sorted({c["setting"] for c in cells})
    wide = console.width >= _WIDE
    heads = ["model", "setting", "stratum", "accuracy", "unread right", "no answer"]
    heads += ["guessing", "items", "groups", "not asked"] if wide else []
    table = _table("Accuracy, percent (95 % interval)", *heads)
    for cell in cells:
        if cell["benchmark"] == "all" and cell["setting"] in settings:
            more = [
                _percent(cell.get("baseline", cell["chance"])),
                *(f"{cell[k]:g}" for k in ("n", "groups", "not_asked")),
            ]
            table.add_row(
                *(escape(cell[key]) for key in ("model", "setting", "stratum")),
                _interval(cell),
                _percent(unread_right(cell)),
                f"{round(cell['no_answer'], 1):g}",
                *(more if wide else ()),
            )
    console.print(table)


def _print_benchmarks(console: Console, cells: Sequence[Record]) -> None:
    """Plain accuracy per benchmark, where there is more than one; on a narrow terminal a row a model."""
    plain = [c for c in cells if c["setting"] == PLAIN and c["stratum"] == "all" and c["benchmark"] != "all"]
    names, models = (list(dict.fromkeys(c[key] for c in plain)) for key in ("benchmark", "model"))
    if len(names) <= 2:
        return
    title = "Plain accuracy by benchmark, percent (95 % interval)"
    found = {(c["model"], c["benchmark"]): _interval(c) for c in plain}
    if 24 * (len(models) + 1) <= console.width:
        table = _table(title, "benchmark", *map(escape, models))
        for name in names:
            table.add_row(escape(name), *(found.get((model, name), "-") for model in models))
    else:
        table = _table(title, "benchmark", "model", "accuracy")
        for name in names:
            for model in models:
                table.add_row(escape(name), escape(model), found.get((model, name), "-"))
    console.print(table)


def _print_gaps(console: Console, scores: Scores) -> None:
    """Plain gaps by every measure and, to be short, adversarial ones as called; a narrow terminal shows fewer kinds."""
    wide = console.width >= _WIDE
    kinds = list(_GAPS)[: 3 if wide else 2]
    several = wide and len(scores.models) > 1
    heads = [*map(_GAPS.__getitem__, kinds), *(["factor"] if wide else []), *(["Holm p"] if several else [])]
    table = _table("Knowledge minus reasoning, points (95 % interval)", "model", "setting", "measure", *heads)
    for model in scores.models:
        for setting in _SHOWN:
            for name, weighting, adjustment in MEASURES if setting == PLAIN else MEASURES[:1]:
                gaps = [scores.gap(model, kind, setting, weighting, adjustment) for kind in kinds]
                if any(gaps):
                    table.add_row(escape(model), setting, name, *_gap_cells(gaps)[: len(heads)])
    if table.row_count:
        console.print(table)
        if wide:
            text = "factor: by the classifier's own probabilities a true pooled gap shows multiplied by it"
            console.print(text, highlight=False)


def _gap_cells(gaps: Sequence[Record | None]) -> list[str]:
    """The gaps of one row, and of its pooled one the attenuation factor and the adjusted p."""
    pooled: Record = gaps[0] or {}
    factor, p = pooled.get("attenuation"), pooled.get("p_holm")
    cells = [_interval(gap, True) if gap else "-" for gap in gaps]
    return [*cells, "-" if factor is None else f"{factor:.2f}", "-" if p is None else f"{p:.2g}"]


def _print_changes(console: Console, rows: Sequence[Record]) -> None:
    if not rows:
        return
    table = _table("Adversarial minus plain, points (95 % interval)", "model", *STRATA)
    found = {(c["model"], c["stratum"]): c for c in rows}
    for model in dict.fromkeys(model for model, _ in found):
        shown = (found.get((model, stratum)) for stratum in STRATA)
        table.add_row(escape(model), *(_interval(c, True) if c else "-" for c in shown))
    console.print(table)


def _print_slices(console: Console, scores: Scores) -> None:
    """Accuracy by every column that was named, of the setting that stands for a model's accuracy."""
    heads = ("column", "value", "model", "accuracy", "other questions")
    table = _table("Accuracy by column, percent (95 % interval)", *heads)
    for record in scores.slices:
        if record["setting"] == scores.lead:
            ends = {"estimate": record["rest"], "ci_low": record["rest_low"], "ci_high": record["rest_high"]}
            names = (escape(record[key]) for key in ("column", "value", "model"))
            table.add_row(*names, _interval(record), _interval(ends, True))
    if table.row_count:
        console.print(table)
        console.print("other questions: the difference from them, in points, not adjusted", highlight=False)


def _print_comparisons(console: Console, rows: Sequence[Record]) -> None:
    if not rows:
        return
    wide = console.width >= _WIDE
    heads = ["setting", "stratum", "difference", "p"]
    heads += ["p (sign flips)", "p (McNemar)", "detectable", "items", "groups"] if wide else []
    table = _table("Candidate minus baseline, points (95 % interval)", *heads)
    for row in rows:
        ps = ["-" if row[key] is None else f"{row[key]:.2g}" for key in ("p", "p_sign_flip", "p_mcnemar")]
        more = [*ps[1:], _percent(row["detectable"]), *(f"{row[key]:g}" for key in ("n", "groups"))]
        shown = _interval(row, True)
        table.add_row(row["setting"], row["stratum"], shown, ps[0], *(more if wide else ()))
    console.print(table)


def _console() -> Console:
    """A terminal's own width; wide when the output goes to a file or a log, so that no figure is cut."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def _table(title: str, *columns: str) -> Table:
    """A table whose cells fold where they do not fit: no name and no figure is cut."""
    table = Table(title=escape(title), title_justify="left")
    for place, column in enumerate(columns):
        justify = "left" if place == 0 or column in _LEFT else "right"
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    return table


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _interval(record: Record, signed: bool = False) -> str:
    """The record's estimate (or the accuracy of a cell) with its interval, in percent."""
    value = record["estimate"] if "estimate" in record else record["accuracy"]
    if value is None:
        return "-"
    ends = [value] if record["ci_low"] is None else [value, record["ci_low"], record["ci_high"]]
    texts = [f"{100 * end:+.1f}" if signed else f"{100 * end:.1f}" for end in ends]
    text, *rest = ("0.0" if shown in ("+0.0", "-0.0") else shown for shown in texts)
    return f"{text} ({rest[0]} to {rest[1]})" if rest else text
