"""What a scores.json and a decision.json say, in plain sentences: the words of the report, no drawing.

Fractions come in, percent and percentage points go out. A claim is made only where an interval carries it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from components.errors import InputError
from components.qa.wording import (
    has_interval,
    is_number,
    join,
    percent,
    points,
    spread,
    verb,
)

SCHEMA_VERSION = 1
STRATA = ("knowledge", "reasoning")
GAP_KINDS = {"pooled": "pooled", "within_benchmark": "within benchmarks", "macro": "macro"}
SILENT = 0.2  # more answers without a choice, as a share, than are worth a sentence: our choice
Record = Mapping[str, Any]


def check_schema(record: Record, where: str, newest: int = SCHEMA_VERSION) -> None:
    """Refuse a record of a newer schema (InputError): its fields may mean something else."""
    version = record.get("schema_version", newest)
    if not isinstance(version, int) or version > newest:
        raise InputError(
            f"{where}: schema_version: {version!r} is newer than {newest}, the newest that this version "
            "reads; upgrade biomed-r1 or write the file again with this version"
        )


class Scores:
    """Lookups into the flat records of a scores.json."""

    def __init__(self, record: Record, where: str = "scores.json") -> None:
        check_schema(record, where)
        self.versions: Record = record.get("versions") or {}
        self.gaps: Sequence[Record] = record.get("gaps") or []
        self.sensitivity: Sequence[Record] = record.get("threshold_sensitivity") or []
        self.drops: Sequence[Record] = record.get("adversarial_drops") or []
        cells: Sequence[Record] = record.get("cells") or []
        if not cells:
            raise InputError(f"{where}: cells: empty or missing; a report needs at least one scored cell")
        self._cells = {(c["model"], c["setting"], c["stratum"], c["benchmark"]): c for c in cells}
        self.models = _ordered(c["model"] for c in cells)
        self.settings = _ordered(c["setting"] for c in cells)
        self.benchmarks = [b for b in _ordered(c["benchmark"] for c in cells) if b not in ("all", "macro")]
        self.strata = [s for s in ("all", *STRATA) if any(c["stratum"] == s for c in cells)]

    @property
    def first(self) -> Record:
        return next(iter(self._cells.values()))

    @property
    def stratified(self) -> bool:
        return all(stratum in self.strata for stratum in STRATA)

    def cell(self, model: str, setting: str = "plain", stratum: str = "all", benchmark: str = "all") -> Record | None:
        return self._cells.get((model, setting, stratum, benchmark))

    def gap(self, model: str, kind: str, setting: str = "plain", weighting: str = "hard") -> Record | None:
        """The gap over all benchmarks; None where the producer could not estimate it."""
        wanted = (model, kind, setting, weighting)
        for gap in self.gaps:
            key = (gap["model"], gap["kind"], gap.get("setting", "plain"), gap.get("weighting", "hard"))
            if key == wanted and gap.get("benchmark") in ("all", "macro", None) and _complete(gap):
                return gap
        return None

    def drop(self, model: str, stratum: str = "all", benchmark: str = "all") -> Record | None:
        for drop in self.drops:
            if (drop["model"], drop["stratum"], drop["benchmark"]) == (model, stratum, benchmark):
                return drop if _complete(drop) else None
        return None


def strata_sentences(scores: Scores) -> list[str]:
    """One sentence on the knowledge and reasoning accuracies, and one on models no better than guessing."""
    out: list[str] = []
    pooled = {m: g for m in scores.models if (g := scores.gap(m, "pooled"))}
    if pooled:
        better = [m for m, g in pooled.items() if g["ci_low"] > 0]
        worse = [m for m, g in pooled.items() if g["ci_high"] < 0]
        open_ = [m for m in pooled if m not in better + worse]
        parts = [
            f"{join(names)} {text}"
            for names, text in (
                (better, f"{verb(len(better), 'answer')} knowledge questions better than reasoning questions"),
                (worse, f"{verb(len(worse), 'answer')} reasoning questions better than knowledge questions"),
                (open_, f"{verb(len(open_), 'show')} no difference between the two that exceeds its error"),
            )
            if names
        ]
        out.append("Pooled over all questions, " + "; ".join(parts) + ".")
    guessing = [m for m in scores.models if (c := scores.cell(m)) and _like_chance(c)]
    if guessing:
        chance = scores.cell(guessing[0])
        assert chance is not None
        out.append(f"{join(guessing)} cannot be told apart from guessing (chance is {percent(chance['chance'])}).")
    return out


def drop_sentences(scores: Scores) -> list[str]:
    """How far accuracy falls when the answer is opened with a wrong statement."""
    drops = {m: d for m in scores.models if (d := scores.drop(m))}
    out = []
    for model, drop in drops.items():
        low, high = sorted((abs(drop["ci_low"]), abs(drop["ci_high"])))
        amount = f"{abs(100 * drop['estimate']):.1f} points ({spread(low, high)})"
        if drop["ci_low"] > 0:
            out.append(f"{model} loses {amount} when its answer is opened with a wrong statement.")
        elif drop["ci_high"] < 0:
            out.append(f"{model} gains {amount} under a wrong opening, which deserves a look.")
        else:
            out.append(f"{model} changes by {points(-drop['estimate'])}, within error, under a wrong opening.")
        out += _silence(model, scores)
    missing = [m for m in scores.models if m not in drops]
    if drops and missing:
        out.append(f"{join(missing)} {verb(len(missing), 'was', 'were')} not asked with wrong openings.")
    return out


def _silence(model: str, scores: Scores) -> list[str]:
    """A fall that comes from answers without a choice must not be read as choices of the wrong option."""
    plain, opened = scores.cell(model, "plain"), scores.cell(model, "adversarial")
    if not plain or not opened or not plain["n"] or not opened["n"]:
        return []
    before, after = plain["no_answer"] / plain["n"], opened["no_answer"] / opened["n"]
    if after - before < SILENT:
        return []
    return [
        f"After a wrong opening {percent(after)} of its answers name no option ({percent(before)} when asked plainly), "
        "which counts as wrong: so far the fall shows that the opening is not corrected, not that it is repeated."
    ]


def gap_sentences(scores: Scores) -> list[str]:
    """Per model, whether the pooled gap survives inside benchmarks."""
    out = []
    for model in scores.models:
        gaps = {kind: g for kind in GAP_KINDS if (g := scores.gap(model, kind))}
        if len(gaps) > 1:
            out.append(gap_sentence(model, gaps))
    return out


def gap_sentence(model: str, gaps: Mapping[str, Record]) -> str:
    """Agreement or disagreement, by sign or by interval, of the kinds of gap of one model."""
    verdicts = {kind: _verdict(g) for kind, g in gaps.items()}
    signs = {g["estimate"] > 0 for g in gaps.values() if abs(g["estimate"]) >= 0.0005}
    figures = ", ".join(
        f"{GAP_KINDS[k]} {points(g['estimate'])} ({spread(g['ci_low'], g['ci_high'], True)})" for k, g in gaps.items()
    )
    if len(set(verdicts.values())) == 1:
        if len(signs) > 1 and set(verdicts.values()) == {0}:
            return f"{model}: the measures differ in sign, but none shows a difference beyond its error: {figures}."
        word = {1: "knowledge is answered better", -1: "reasoning is answered better", 0: "no difference is shown"}
        return f"{model}: the measures agree, {word[next(iter(verdicts.values()))]}: {figures}."
    if verdicts.get("pooled") and not verdicts.get("within_benchmark", verdicts["pooled"]):
        return (
            f"{model}: the measures disagree. The pooled gap exceeds its error but is not seen within benchmarks, so "
            f"it may say more about which benchmarks hold the reasoning questions than about the model: {figures}."
        )
    if {1, -1} <= set(verdicts.values()):
        return f"{model}: the measures disagree in direction, each beyond its error: {figures}."
    return f"{model}: the measures disagree; only some of the intervals exclude zero: {figures}."


def _complete(record: Record) -> bool:
    return is_number(record.get("estimate")) and has_interval(record)


def _verdict(gap: Record) -> int:
    return 1 if gap["ci_low"] > 0 else -1 if gap["ci_high"] < 0 else 0


def _like_chance(cell: Record) -> bool:
    return is_number(cell.get("chance")) and has_interval(cell) and cell["ci_low"] <= cell["chance"] <= cell["ci_high"]


def _ordered(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
