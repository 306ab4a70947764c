"""A scores.json as the sections look things up in it, and what they call its settings. Fractions throughout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from components.errors import InputError
from components.questions.askings import OPENED
from components.report.wording import has_interval, is_number
from components.scoring.outcomes import ADVERSARIAL, STRATA

SCHEMA_VERSION = 1
PLAIN = "plain"
KINDS_OF_QUESTION = STRATA[1:]  # knowledge and reasoning, which `all` holds together
RAW = "none"  # the adjustment of a gap in accuracy, not over guessing
GAP_KINDS = {"pooled": "pooled", "within_benchmark": "within benchmarks", "macro": "mean of benchmarks"}
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
        self._gaps = {
            (g["model"], g["kind"], g["setting"], g["weighting"], g.get("adjustment", RAW), g["benchmark"]): g
            for g in record.get("gaps") or []
        }
        self.sensitivity: Sequence[Record] = record.get("threshold_sensitivity") or []
        self.samples: Sequence[Record] = record.get("samples") or []
        self.positions: Sequence[Record] = record.get("positions") or []
        self.slices: Sequence[Record] = record.get("slices") or []
        self.changes = {(c["model"], c["stratum"]): c for c in changes(record)}
        cells: Sequence[Record] = record.get("cells") or []
        if not cells:
            raise InputError(f"{where}: cells: empty or missing; a report needs at least one scored cell")
        self._cells = {(c["model"], c["setting"], c["stratum"], c["benchmark"]): c for c in cells}
        self.models = _ordered(c["model"] for c in cells)
        self.settings = _ordered(c["setting"] for c in cells)
        self.benchmarks = [b for b in _ordered(c["benchmark"] for c in cells) if b not in ("all", "macro")]
        self.strata = [s for s in STRATA if any(c["stratum"] == s for c in cells)]

    @property
    def first(self) -> Record:
        return next(iter(self._cells.values()))

    @property
    def stratified(self) -> bool:
        return all(stratum in self.strata for stratum in KINDS_OF_QUESTION)

    @property
    def told_apart(self) -> tuple[str, ...]:
        """The strata that a figure draws: knowledge and reasoning, or all questions where one of the two is missing."""
        return KINDS_OF_QUESTION if self.stratified else STRATA[:1]

    @property
    def lead(self) -> str:
        """The setting that stands for a model's accuracy: plain, unless no model was asked plainly."""
        return next(s for s in (PLAIN, ADVERSARIAL, *self.settings) if s in self.settings)

    def opened(self, model: str) -> list[str]:
        """How a model was asked with prefills: the mean of three or, where there is none, each by itself."""
        asked = [s for s in (ADVERSARIAL, *OPENED) if self.cell(model, s)]
        return asked[:1] if ADVERSARIAL in asked else asked

    def shown(self, models: Sequence[str]) -> list[str]:
        """The settings worth a row, in order: plain answers, then those with prefills of any of `models`."""
        found = {s for m in models for s in ([PLAIN] if self.cell(m) else []) + self.opened(m)}
        return [s for s in (PLAIN, ADVERSARIAL, *OPENED) if s in found]

    def cell(self, model: str, setting: str = "plain", stratum: str = "all", benchmark: str = "all") -> Record | None:
        return self._cells.get((model, setting, stratum, benchmark))

    def gap(
        self,
        model: str,
        kind: str,
        setting: str = "plain",
        weighting: str = "hard",
        adjustment: str = RAW,
        benchmark: str = "all",
    ) -> Record | None:
        """Knowledge minus reasoning; None where it was not measured or has no interval."""
        found = self._gaps.get((model, kind, setting, weighting, adjustment, benchmark))
        return found if found and _complete(found) else None

    def gap_benchmarks(self, weighting: str) -> list[str]:
        """The benchmarks that have a gap of their own of this kind."""
        return _ordered(key[5] for key in self._gaps if key[3] == weighting and key[5] != "all")

    def above_chance(self, model: str, setting: str = "plain", benchmark: str = "all") -> bool:
        """Whether the whole interval of an accuracy lies above what guessing gets; older scores know 1 / options."""
        cell = self.cell(model, setting, "all", benchmark)
        if cell is None:
            return False
        if cell.get("above_chance") is not None:
            return bool(cell["above_chance"])
        guess = cell.get("baseline", cell.get("chance"))
        return has_interval(cell) and is_number(guess) and cell["ci_low"] > guess

    def change(self, model: str, stratum: str = "all") -> Record | None:
        """Adversarial minus plain accuracy over all benchmarks; None where it was not measured or has no interval."""
        found = self.changes.get((model, stratum))
        return found if found and _complete(found) else None


def changes(record: Record) -> list[Record]:
    """Adversarial minus plain accuracy over all benchmarks, by model and stratum: negative is worse.

    A scores.json holds drops, plain minus adversarial. Whatever is shown or logged is turned here and nowhere else.
    """
    return [
        {
            "model": drop["model"],
            "stratum": drop["stratum"],
            "estimate": _minus(drop["estimate"]),
            "ci_low": _minus(drop["ci_high"]),
            "ci_high": _minus(drop["ci_low"]),
        }
        for drop in record.get("adversarial_drops") or []
        if drop["benchmark"] == "all"
    ]


def _minus(value: float | None) -> float | None:
    return None if value is None else 0.0 - value  # not -0.0


def setting_words(setting: str) -> str:
    """A setting within a sentence; `adversarial_0` is the first of three prefills to a reader."""
    if setting in OPENED:
        return f"after prefill {OPENED.index(setting) + 1}"
    return {ADVERSARIAL: "after a prefill (mean of three)"}.get(setting, setting)


def lead_words(scores: Scores) -> str:
    """The questions behind `scores.lead`, within a sentence."""
    return "plain questions" if scores.lead == PLAIN else setting_words(scores.lead)


def short_setting(setting: str) -> str:
    """A setting as the name of a row."""
    return setting_words(setting).removeprefix("after ") if setting in OPENED else setting


def missing_stratum(scores: Scores) -> str:
    """Why knowledge and reasoning cannot be set beside each other, as a clause; "" where they can."""
    there = [s for s in KINDS_OF_QUESTION if s in scores.strata]
    if scores.stratified:
        return ""
    if not there:
        return "The questions carry no strata"
    absent = next(s for s in KINDS_OF_QUESTION if s not in there)
    return f"Every question that carries a stratum is called {there[0]} and none {absent}"


def _complete(record: Record) -> bool:
    return is_number(record.get("estimate")) and has_interval(record)


def _ordered(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
