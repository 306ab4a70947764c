"""What a scores.json and a decision.json say, in plain sentences: the words of the report, no drawing.

Fractions come in, percent and percentage points go out. A claim is made only where an interval carries it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from components.errors import InputError
from components.report.wording import has_interval, is_number, join, percent, verb
from components.scoring.outcomes import ADVERSARIAL, OPENED
from components.scoring.strata_gaps import raw

SCHEMA_VERSION = 1
PLAIN = "plain"
STRATA = ("knowledge", "reasoning")
GAP_KINDS = {"pooled": "pooled", "within_benchmark": "within benchmarks", "macro": "macro"}
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

    @property
    def lead(self) -> str:
        """The setting that stands for a model's accuracy: plain, unless no model was asked plainly."""
        return next(s for s in (PLAIN, ADVERSARIAL, *self.settings) if s in self.settings)

    def opened(self, model: str) -> list[str]:
        """How a model was asked with wrong openings: the mean of three or, where there is none, each by itself."""
        asked = [s for s in (ADVERSARIAL, *OPENED) if self.cell(model, s)]
        return asked[:1] if ADVERSARIAL in asked else asked

    def shown(self, models: Sequence[str]) -> list[str]:
        """The settings worth a row, in order: plain answers, then those with wrong openings of any of `models`."""
        found = {s for m in models for s in ([PLAIN] if self.cell(m) else []) + self.opened(m)}
        return [s for s in (PLAIN, ADVERSARIAL, *OPENED) if s in found]

    def cell(self, model: str, setting: str = "plain", stratum: str = "all", benchmark: str = "all") -> Record | None:
        return self._cells.get((model, setting, stratum, benchmark))

    def gap(self, model: str, kind: str, setting: str = "plain", weighting: str = "hard") -> Record | None:
        """The gap over all benchmarks; None where the producer could not estimate it."""
        wanted = (model, kind, setting, weighting)
        for gap in self.gaps:
            key = (gap["model"], gap["kind"], gap.get("setting", "plain"), gap.get("weighting", "hard"))
            if key == wanted and gap.get("benchmark") in ("all", "macro", None) and raw(gap) and _complete(gap):
                return gap
        return None

    def drop(self, model: str, stratum: str = "all", benchmark: str = "all") -> Record | None:
        for drop in self.drops:
            if (drop["model"], drop["stratum"], drop["benchmark"]) == (model, stratum, benchmark):
                return drop if _complete(drop) else None
        return None


def setting_words(setting: str) -> str:
    """A setting within a sentence; `adversarial_0` is the first of three openings to a reader."""
    if setting in OPENED:
        return f"after wrong opening {OPENED.index(setting) + 1}"
    return {ADVERSARIAL: "with a wrong opening (mean of three)"}.get(setting, setting)


def short_setting(setting: str) -> str:
    """A setting as the name of a row."""
    return setting_words(setting).removeprefix("after ") if setting in OPENED else setting


def strata_sentences(scores: Scores) -> list[str]:
    """One sentence on the knowledge and reasoning accuracies, and one on models no better than guessing."""
    out: list[str] = []
    where = "" if scores.lead == PLAIN else f", {setting_words(scores.lead)}"
    if where:
        out.append(f"No model was asked plainly: these are accuracies {setting_words(scores.lead)}.")
    pooled = {m: g for m in scores.models if (g := scores.gap(m, "pooled", scores.lead))}
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
        out.append(f"Pooled over all questions{where}, " + "; ".join(parts) + ".")
    guessing = [m for m in scores.models if (c := scores.cell(m, scores.lead)) and _like_chance(c)]
    if guessing:
        chance = scores.cell(guessing[0], scores.lead)
        assert chance is not None
        out.append(f"{join(guessing)} cannot be told apart from guessing (chance is {percent(chance['chance'])}).")
    return out


def missing_stratum(scores: Scores) -> str:
    """Why knowledge and reasoning cannot be set beside each other, as a clause; "" where they can."""
    there = [s for s in STRATA if s in scores.strata]
    if len(there) == len(STRATA):
        return ""
    if not there:
        return "The questions carry no strata"
    absent = next(s for s in STRATA if s not in there)
    return f"Every question that carries a stratum is called {there[0]} and none {absent}"


def _complete(record: Record) -> bool:
    return is_number(record.get("estimate")) and has_interval(record)


def _like_chance(cell: Record) -> bool:
    return is_number(cell.get("chance")) and has_interval(cell) and cell["ci_low"] <= cell["chance"] <= cell["ci_high"]


def _ordered(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
