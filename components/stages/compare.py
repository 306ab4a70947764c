"""Scores with error bars, and the decision whether a candidate replaces the baseline.

Both verbs read local files. Every output is extracted and marked anew, so that old answers are scored by the present
rule.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from components.errors import InputError
from components.extraction import explain
from components.platform.config import write_json
from components.platform.storage.ledger import UNKNOWN, Challenge
from components.platform.tables import iterate_rows, read_items, read_metadata
from components.questions.items import Item, group_of
from components.questions.prefills.relabelled import reordered
from components.questions.seal import Seal, question_mark, question_marks
from components.report.score_files import DRAWS, changed, read_answers, write_scores
from components.report.scores import changes
from components.scoring.askings.marking import order_of, sample_of
from components.scoring.cells import score
from components.scoring.gaps.strata import raw
from components.scoring.gate.comparison import comparisons
from components.scoring.gate.decide import conditions, decide, distinct
from components.scoring.gate.flips import equivalence, flips
from components.scoring.gate.rules import Rules
from components.scoring.intervals import accuracy_interval
from components.scoring.outcomes import (
    ADVERSARIAL,
    STRATA,
    Answers,
    ItemTable,
    Mask,
    item_table,
    outcomes_of,
    restricted,
)
from components.scoring.slices import slices_of

# The settings of the gate, which have the same names in its Rules; the others are of the bootstrap.
RULES = ("alpha", "margin", "no_answer_bound", "schedule", "horizon", "benchmark_margin", "guard_columns")
TERMS = (*RULES, "sealed")  # what one count of looks is made under


class CompareConfig(BaseModel):
    """How models are compared. None of these values is published: they are our choices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alpha: float = Field(0.05, gt=0, lt=1, description="chance of any false promotion, over all looks together")
    margin: float = Field(0.03, gt=0, lt=1, description="how much worse (a fraction) still counts as not worse")
    no_answer_bound: float = Field(0.1, gt=0, le=1, description="share of unanswered items that must be excluded")
    schedule: Literal["harmonic", "horizon"] = Field(
        "harmonic", description="how decisions share alpha (scoring/gate/rules)"
    )
    horizon: int = Field(26, ge=1, description="decisions that share alpha equally under the schedule horizon")
    benchmark_margin: float = Field(0.05, gt=0, lt=1, description="largest loss on one benchmark that may be shown")
    guard_columns: tuple[str, ...] = Field((), description="columns (or meta fields) guarded like benchmarks")
    slices: tuple[str, ...] = Field((), description="columns (or meta fields) scored value by value")
    sealed: float = Field(
        0.0, ge=0, lt=1, description="share of the questions that the gate decides on and nothing quotes; 0: on all"
    )
    draws: int = Field(DRAWS, ge=100, description="bootstrap draws")
    seed: int = Field(0, ge=0)

    def rules(self, look: int) -> Rules:
        return Rules(look=look, **{name: getattr(self, name) for name in RULES})


def compare(
    items: Path,
    answers: Sequence[Path],
    baseline: str,
    candidate: str,
    config: CompareConfig,
    out_dir: Path,
    look: int = 1,
    equivalent: float | None = None,
    seal_number: int = 0,
) -> dict[str, Any]:
    """Writes out_dir/scores.json and out_dir/decision.json; returns the evidence.

    `look` is the number of this decision against this baseline on these questions, from 1 (see `challenge`). With
    `equivalent` (a margin, a fraction) the decision also says whether the two models are equivalent. `seal_number` is
    the draw of sealed questions in force. Raises InputError when a model has no answers, the two were asked under
    different conditions, or answers were given to other items.
    """
    if equivalent is not None and not 0 < equivalent < 1:
        raise InputError(f"compare: equivalent: {equivalent!r} must be a fraction above 0 and below 1")
    asked = read_items(items)
    marked, versions = read_answers(asked, answers)
    graded = outcomes_of(marked, len(asked))
    for name in (baseline, candidate):
        if name not in graded:
            raise InputError(f"compare: no answers of {name!r}; the files have answers of {', '.join(sorted(graded))}")
    _same_items(asked, items, answers)
    premises = [conditions(versions, baseline, candidate), distinct(versions, baseline, candidate)]
    table, rules = item_table(asked), config.rules(look)
    seal = Seal(config.sealed, seal_number)
    judged, places = decided_on(asked, seal)
    slices = slices_of(judged, config.guard_columns, "guard_columns")
    decision = decide(item_table(judged), restricted(graded, places), baseline, candidate, rules, premises, slices)
    decision["seal"] = {"share": seal.share, "number": seal.number, "questions": len(judged), "of": len(asked)}
    decision["parts"] = seal_parts(table, graded, (baseline, candidate), places) if seal.share else []
    pair = graded[baseline], graded[candidate]
    decision["models"] = {
        role: {"name": name, "weights_sha256": versions.get(name, {}).get("weights_sha256")}
        for role, name in (("baseline", baseline), ("candidate", candidate))
    }
    decision["comparisons"] = comparisons(table, *pair, rules.level, seed=config.seed, draws=config.draws)
    decision["flips"] = flips(table, *pair)
    if equivalent is not None:
        decision["equivalence"] = equivalence(table, *pair, equivalent, rules.level)
    scores = score(
        table,
        graded,
        seed=config.seed,
        draws=config.draws,
        answer_versions=versions,
        marked=marked,
        slices=slices_of(asked, config.slices, "slices"),
    )
    write_json(Path(out_dir) / "scores.json", scores)
    write_json(Path(out_dir) / "decision.json", decision)
    return _evidence(scores, decision)


def decided_on(items: Sequence[Item], seal: Seal) -> tuple[list[Item], Mask]:
    """The items that the gate decides on, all of them where nothing is sealed, and their places."""
    places = np.array([seal.covers(item) or not seal.share for item in items], dtype=bool)
    return [item for item, chosen in zip(items, places, strict=True) if chosen], places


def seal_parts(table: ItemTable, graded: Answers, models: Sequence[str], sealed: Mask) -> list[dict[str, Any]]:
    """Accuracy of each model on the open and on the sealed questions, side by side, by setting and stratum.

    A model that was fitted to the questions that reports showed is better on the open ones.
    """
    found: list[dict[str, Any]] = []
    for model in models:
        for setting in ("plain", ADVERSARIAL):
            outcomes = graded[model].get(setting)
            for stratum in STRATA if outcomes is not None else ():
                assert outcomes is not None
                record: dict[str, Any] = {"model": model, "setting": setting, "stratum": stratum}
                for name, part in (("open", ~sealed), ("sealed", sealed)):
                    mask = part & outcomes.asked & table.mask(stratum)
                    interval = accuracy_interval(outcomes.correct[mask], table.groups[mask]) if mask.any() else None
                    record[name] = {
                        "n": int(mask.sum()),
                        "accuracy": float(outcomes.correct[mask].mean()) if mask.any() else None,
                        "ci_low": interval.low if interval else None,
                        "ci_high": interval.high if interval else None,
                    }
                found.append(record)
    return found


def challenge(
    items: Path,
    answers: Sequence[Path],
    baseline: str,
    candidate: str,
    config: CompareConfig,
    name: str = "",
    seal_number: int = 0,
) -> Challenge:
    """What the ledger counts this decision by; reserving it before `compare` gives the look.

    Models are known by their weights. The digest of the answers is over texts, keys, strata and groups: the same ones
    made again, by whatever file, are the same answers, and the same texts cut into other strata are another test.
    """
    judged, _ = decided_on(read_items(items), Seal(config.sealed, seal_number))
    marks = {item.id: question_mark(item) for item in judged}
    weights: dict[str, str] = {}
    texts: dict[str, list[list[str]]] = {baseline: [], candidate: []}
    for file in answers:
        recorded = read_metadata(file).get("weights_sha256")
        for row in iterate_rows(file):
            model, mark = str(row.get("model")), marks.get(str(row.get("item_id")))
            if model in texts and mark:
                weights[model] = recorded or weights.get(model, "")
                texts[model].append([mark, *(str(row.get(key) or "") for key in ("setting", "order", "output"))])
    tests = [[marks[i.id], i.options[i.answer_idx], str(i.is_reasoning), group_of(i), i.dataset_name] for i in judged]
    return Challenge(
        name=name,
        baseline=weights.get(baseline) or UNKNOWN,
        baseline_answers=_digest(sorted(texts[baseline])),
        candidate=weights.get(candidate) or f"name:{candidate}",
        questions=question_marks(judged),
        answers=_digest([sorted(texts[baseline]), sorted(texts[candidate]), sorted(tests)]),
        terms={key: _plain(getattr(config, key)) for key in TERMS},
        draw=seal_number if config.sealed else 0,
    )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """As it is read back from JSON."""
    return list(value) if isinstance(value, tuple) else value


def _same_items(items: Sequence[Item], path: Path, answers: Sequence[Path]) -> None:
    """Raise InputError for a file whose answers were given to other questions, options, prefills or keys."""
    for file in answers:
        if differs := changed(items, file):
            raise InputError(
                f"{file}: items_digest: not that of {path}: {differs}; give the items that were asked, or evaluate "
                "the models again"
            )


def score_files(items: Path, answers: Sequence[Path], config: CompareConfig, out: Path) -> dict[str, Any]:
    """Writes the scores of every model in `answers` to `out` and returns them; no decision."""
    return write_scores(items, answers, out, config.draws, config.seed, config.slices)


def explained(items: Path, answers: Sequence[Path], item_id: str) -> Iterator[str]:
    """How each answer to one item is read, and why: the text of a terminal, an answer at a time.

    Raises InputError for an id of no item, or of one that no file answers.
    """
    item = next((item for item in read_items(items) if item.id == item_id), None)
    if item is None:
        raise InputError(f"{items}: no item has the id {item_id!r}")
    found = False
    for file in answers:
        for row in iterate_rows(file):
            if row.get("item_id") == item_id:
                found = True
                order = order_of(row, item, str(file))
                shown = reordered(item, order) if order else item
                told = [str(row.get("model")), str(row.get("setting"))]
                told += [f"options in the order {order}"] if order else []
                told += [f"sample {sample}"] if (sample := sample_of(row, str(file))) else []
                yield f"{', '.join(told)} (right: {shown.answer_idx})"
                yield explain(str(row.get("output") or ""), shown.options) + "\n"
    if not found:
        raise InputError(f"{', '.join(map(str, answers))}: no answer to the item {item_id!r}")


def score_evidence(scores: Mapping[str, Any]) -> dict[str, Any]:
    """The evidence of a scoring without a decision: each model's accuracies over all benchmarks, and its changes."""
    metrics = {
        f"{cell['model']}_{cell['setting']}_{cell['stratum']}_accuracy": cell["accuracy"]
        for cell in scores["cells"]
        if cell["benchmark"] == "all" and cell["setting"] in ("plain", "adversarial")
    }
    metrics |= {
        f"{change['model']}_adversarial_change_{change['stratum']}": change["estimate"] for change in changes(scores)
    }
    models = list(dict.fromkeys(cell["model"] for cell in scores["cells"]))
    return {"models": models, "metrics": {name: value for name, value in metrics.items() if value is not None}}


def _evidence(scores: Mapping[str, Any], decision: Mapping[str, Any]) -> dict[str, Any]:
    """The decision in short, and as metrics the accuracies over all benchmarks with the gaps and changes.

    A change is adversarial minus plain accuracy: negative is worse.
    """
    metrics: dict[str, float | None] = {"promoted": float(decision["decision"] == "promote"), "look": decision["look"]}
    roles = {decision["baseline"]: "baseline", decision["candidate"]: "candidate"}
    for cell in scores["cells"]:
        if cell["model"] in roles and cell["benchmark"] == "all" and cell["setting"] in ("plain", "adversarial"):
            name = f"{roles[cell['model']]}_{cell['setting']}_{cell['stratum']}"
            metrics[f"{name}_accuracy"] = cell["accuracy"]
            metrics[f"{name}_no_answer"] = cell["no_answer"] / cell["n"] if cell["n"] else None
    for gap in scores["gaps"]:
        if gap["model"] in roles and gap["benchmark"] == "all" and gap["setting"] == "plain" and raw(gap):
            metrics[f"{roles[gap['model']]}_gap_{gap['kind']}_{gap['weighting']}"] = gap["estimate"]
    for change in changes(scores):
        if change["model"] in roles:
            metrics[f"{roles[change['model']]}_adversarial_change_{change['stratum']}"] = change["estimate"]
    return {
        "decision": decision["decision"],
        "baseline": decision["baseline"],
        "candidate": decision["candidate"],
        "look": decision["look"],
        "verdict": decision["verdict"],
        "refused_by": [reason["rule"] for reason in decision["reasons"] if not reason["passed"]],
        "metrics": {name: value for name, value in metrics.items() if value is not None},
    }
