"""Scores and decisions as tables on the terminal, of `score` and `compare`: short, and whole on a narrow one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components.platform.screen.tables import Column, Screen, columns
from components.report.scores import PLAIN, Scores, changes
from components.report.sections.accuracy import strata_sentences
from components.report.sections.answered import unread_right
from components.report.sections.gaps import MEASURES
from components.report.sections.gate import changed, equivalence_sentences, seal_sentences, size_sentences
from components.report.sections.positions import position_sentences
from components.report.sections.samples import samples_sentences
from components.scoring.outcomes import ADVERSARIAL, STRATA

if TYPE_CHECKING:
    from rich.console import Console

Record = Mapping[str, Any]

_SHOWN = (PLAIN, ADVERSARIAL)
_GAPS = {"pooled": "pooled", "within_benchmark": "within benchmark", "macro": "macro"}


def print_scores(scores: Record, models: Sequence[str] | None = None, console: Console | None = None) -> None:
    """Accuracy by model, setting and stratum over all benchmarks, then gaps, what they carry, and changes.

    Then slices by column, several samples and options in a second order, where they were asked for.
    """
    screen = Screen(console)
    chosen = dict(scores)
    for name in ("cells", "gaps", "adversarial_drops", "samples", "positions", "slices"):
        chosen[name] = [r for r in scores.get(name) or [] if models is None or r["model"] in models]
    _print_accuracies(screen, chosen["cells"])
    _print_benchmarks(screen, chosen["cells"])
    found = Scores(chosen)
    _print_gaps(screen, found)
    for sentence in strata_sentences(found):
        screen.say(sentence)
    _print_changes(screen, changes(chosen))
    _print_slices(screen, found)
    for sentence in (*samples_sentences(found), *position_sentences(found)):
        screen.say(sentence)


def print_decision(decision: Record, console: Console | None = None) -> None:
    """Each rule of the gate with its verdict and its reason in words, what else was asked, and the differences."""
    screen = Screen(console)
    verdict = decision.get("verdict", decision["decision"])
    beside = "" if verdict == decision["decision"] else f" ({verdict})"
    title = f"Gate: {decision['decision']} {decision['candidate']} over {decision['baseline']}{beside}"
    rows = [(reason["rule"], "yes" if reason["passed"] else "NO", reason["text"]) for reason in decision["reasons"]]
    screen.table(title, columns("rule", "holds", "why", words=("why",)), rows)
    said = [*refusal_sentences(decision), *size_sentences(decision), *seal_sentences(decision)]
    said += equivalence_sentences(decision)
    if names := changed(decision):
        said.append(f"Changed from the defaults: {', '.join(names)}.")
    for flip in decision.get("flips") or []:
        if (flip["setting"], flip["stratum"], flip["benchmark"]) == (PLAIN, "all", "all"):
            said.append(
                f"Plain answers that flipped: {flip['right_to_wrong']} right to wrong, {flip['wrong_to_right']} wrong "
                f"to right (McNemar p = {flip['p_mcnemar']:.2g})."
            )
    for sentence in said:
        screen.say(sentence)
    _print_comparisons(screen, decision.get("comparisons") or [])


def refusal_sentences(decision: Record) -> list[str]:
    """What a refusal means; nothing for a promotion."""
    if decision["decision"] == "promote":
        return []
    return [
        f"A refusal means: these answers do not show that {decision['candidate']} may replace {decision['baseline']}. "
        f"It does not mean that {decision['candidate']} is worse, unless a reason above says so."
    ]


def _print_accuracies(screen: Screen, cells: Sequence[Record]) -> None:
    settings = [s for s in _SHOWN if any(c["setting"] == s for c in cells)] or sorted({c["setting"] for c in cells})
    head = columns("model", "setting", "stratum")
    head += [Column(name, figure=True) for name in ("accuracy", "unread right", "no answer")]
    head += [Column(name, figure=True, extra=True) for name in ("guessing", "items", "groups", "not asked")]
    rows = [
        (
            *(cell[key] for key in ("model", "setting", "stratum")),
            _interval(cell),
            _percent(unread_right(cell)),
            f"{round(cell['no_answer'], 1):g}",
            _percent(cell.get("baseline", cell["chance"])),
            *(f"{cell[key]:g}" for key in ("n", "groups", "not_asked")),
        )
        for cell in cells
        if cell["benchmark"] == "all" and cell["setting"] in settings
    ]
    screen.table("Accuracy, percent (95 % interval)", head, rows)


def _print_benchmarks(screen: Screen, cells: Sequence[Record]) -> None:
    """Plain accuracy per benchmark, where there is more than one; a row a model unless all fit side by side."""
    plain = [c for c in cells if c["setting"] == PLAIN and c["stratum"] == "all" and c["benchmark"] != "all"]
    names, models = (list(dict.fromkeys(c[key] for c in plain)) for key in ("benchmark", "model"))
    if len(names) <= 2:
        return
    title = "Plain accuracy by benchmark, percent (95 % interval)"
    found = {(c["model"], c["benchmark"]): _interval(c) for c in plain}
    if not screen.plain and 24 * (len(models) + 1) <= screen.width:
        rows = [(name, *(found.get((model, name), "-") for model in models)) for name in names]
        screen.table(title, columns("benchmark", *models, figures=models), rows)
    else:
        rows = [(name, model, found.get((model, name), "-")) for name in names for model in models]
        screen.table(title, columns("benchmark", "model", "accuracy", figures=("accuracy",)), rows)


def _print_gaps(screen: Screen, scores: Scores) -> None:
    """Plain gaps by every measure and, to be short, adversarial ones as called; a narrow terminal shows fewer kinds."""
    kinds = list(_GAPS)
    pooled, within, macro = (Column(_GAPS[kind], figure=True, extra=kind == "macro") for kind in kinds)
    head = [*columns("model", "setting", "measure"), pooled, within, macro]
    head += [Column(name, figure=True, extra=True) for name in ("factor", *(["Holm p"] if scores.models[1:] else []))]
    rows = []
    for model in scores.models:
        for setting in _SHOWN:
            for name, weighting, adjustment in MEASURES if setting == PLAIN else MEASURES[:1]:
                gaps = [scores.gap(model, kind, setting, weighting, adjustment) for kind in kinds]
                if any(gaps if screen.roomy else gaps[:2]):
                    rows.append((model, setting, name, *_gap_cells(gaps))[: len(head)])
    screen.table("Knowledge minus reasoning, points (95 % interval)", head, rows)
    if rows and screen.roomy:
        screen.say("factor: by the classifier's own probabilities a true pooled gap shows multiplied by it")


def _gap_cells(gaps: Sequence[Record | None]) -> list[str]:
    """The gaps of one row, and of its pooled one the attenuation factor and the adjusted p."""
    pooled: Record = gaps[0] or {}
    factor, p = pooled.get("attenuation"), pooled.get("p_holm")
    cells = [_interval(gap, True) if gap else "-" for gap in gaps]
    return [*cells, "-" if factor is None else f"{factor:.2f}", "-" if p is None else f"{p:.2g}"]


def _print_changes(screen: Screen, rows: Sequence[Record]) -> None:
    found = {(c["model"], c["stratum"]): c for c in rows}
    lines = [
        (model, *(_interval(c, True) if (c := found.get((model, stratum))) else "-" for stratum in STRATA))
        for model in dict.fromkeys(model for model, _ in found)
    ]
    screen.table("Adversarial minus plain, points (95 % interval)", columns("model", *STRATA, figures=STRATA), lines)


def _print_slices(screen: Screen, scores: Scores) -> None:
    """Accuracy by every column that was named, of the setting that stands for a model's accuracy."""
    rows = []
    for record in scores.slices:
        if record["setting"] == scores.lead:
            ends = {"estimate": record["rest"], "ci_low": record["rest_low"], "ci_high": record["rest_high"]}
            names = (record[key] for key in ("column", "value", "model"))
            rows.append((*names, _interval(record), _interval(ends, True)))
    figures = ("accuracy", "other questions")
    head = columns("column", "value", "model", *figures, figures=figures)
    screen.table("Accuracy by column, percent (95 % interval)", head, rows)
    if rows:
        screen.say("other questions: the difference from them, in points, not adjusted")


def _print_comparisons(screen: Screen, rows: Sequence[Record]) -> None:
    head = [*columns("setting", "stratum"), Column("difference", figure=True), Column("p", figure=True)]
    more = ("p (sign flips)", "p (McNemar)", "detectable", "items", "groups")
    head += [Column(name, figure=True, extra=True) for name in more]
    lines = []
    for row in rows:
        ps = ["-" if row[key] is None else f"{row[key]:.2g}" for key in ("p", "p_sign_flip", "p_mcnemar")]
        counts = (f"{row[key]:g}" for key in ("n", "groups"))
        lines.append((row["setting"], row["stratum"], _interval(row, True), *ps, _percent(row["detectable"]), *counts))
    screen.table("Candidate minus baseline, points (95 % interval)", head, lines)


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
