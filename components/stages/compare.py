"""Scores with error bars, and the decision whether a candidate replaces the baseline.

Both verbs read local files. Every output is extracted and marked anew, so that old answers are scored by the present
rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from components.errors import InputError
from components.platform.config import write_json
from components.platform.tables import read_items
from components.report.score_files import DRAWS, read_answers, write_scores
from components.scoring.cells import score
from components.scoring.comparison import comparisons
from components.scoring.gate import Rules, conditions, decide, distinct
from components.scoring.outcomes import item_table


class CompareConfig(BaseModel):
    """How models are compared. None of these values is published: they are our choices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alpha: float = Field(0.05, gt=0, lt=1, description="chance of any false promotion, over all looks together")
    margin: float = Field(0.03, gt=0, lt=1, description="how much worse (a fraction) still counts as not worse")
    no_answer_bound: float = Field(0.1, gt=0, le=1, description="share of unanswered items that must be excluded")
    draws: int = Field(DRAWS, ge=100, description="bootstrap draws")
    seed: int = Field(0, ge=0)


def compare(
    items: Path,
    answers: Sequence[Path],
    baseline: str,
    candidate: str,
    config: CompareConfig,
    out_dir: Path,
    look: int = 1,
) -> dict[str, Any]:
    """Writes out_dir/scores.json and out_dir/decision.json; returns the evidence.

    `look` is the how-manieth decision this is against this baseline on these items, from 1; the caller counts. Raises
    InputError when a model has no answers or the two were asked under different conditions.
    """
    asked = read_items(items)
    graded, versions = read_answers(asked, answers)
    for name in (baseline, candidate):
        if name not in graded:
            raise InputError(f"compare: no answers of {name!r}; the files have answers of {', '.join(sorted(graded))}")
    premises = [conditions(versions, baseline, candidate), distinct(versions, baseline, candidate)]
    table = item_table(asked)
    rules = Rules(config.alpha, config.margin, config.no_answer_bound, look)
    decision = decide(table, graded, baseline, candidate, rules, premises)
    pair = graded[baseline], graded[candidate]
    decision["comparisons"] = comparisons(table, *pair, rules.level, seed=config.seed, draws=config.draws)
    scores = score(table, graded, seed=config.seed, draws=config.draws, answer_versions=versions)
    write_json(Path(out_dir) / "scores.json", scores)
    write_json(Path(out_dir) / "decision.json", decision)
    return _evidence(scores, decision)


def score_files(items: Path, answers: Sequence[Path], config: CompareConfig, out: Path) -> dict[str, Any]:
    """Writes the scores of every model in `answers` to `out` and returns them; no decision."""
    return write_scores(items, answers, out, config.draws, config.seed)


def score_evidence(scores: Mapping[str, Any]) -> dict[str, Any]:
    """The evidence of a scoring without a decision: each model's accuracies over all benchmarks, and its drops."""
    metrics = {
        f"{cell['model']}_{cell['setting']}_{cell['stratum']}_accuracy": cell["accuracy"]
        for cell in scores["cells"]
        if cell["benchmark"] == "all" and cell["setting"] in ("plain", "adversarial")
    }
    metrics |= {
        f"{drop['model']}_drop_{drop['stratum']}": drop["estimate"]
        for drop in scores["adversarial_drops"]
        if drop["benchmark"] == "all"
    }
    models = list(dict.fromkeys(cell["model"] for cell in scores["cells"]))
    return {"models": models, "metrics": {name: value for name, value in metrics.items() if value is not None}}


def _evidence(scores: Mapping[str, Any], decision: Mapping[str, Any]) -> dict[str, Any]:
    """The decision in short, and as metrics the accuracies over all benchmarks with the gaps and drops."""
    metrics: dict[str, float | None] = {"promoted": float(decision["decision"] == "promote"), "look": decision["look"]}
    roles = {decision["baseline"]: "baseline", decision["candidate"]: "candidate"}
    for cell in scores["cells"]:
        if cell["model"] in roles and cell["benchmark"] == "all" and cell["setting"] in ("plain", "adversarial"):
            name = f"{roles[cell['model']]}_{cell['setting']}_{cell['stratum']}"
            metrics[f"{name}_accuracy"] = cell["accuracy"]
            metrics[f"{name}_no_answer"] = cell["no_answer"] / cell["n"] if cell["n"] else None
    for gap in scores["gaps"]:
        if gap["model"] in roles and gap["benchmark"] == "all" and gap["setting"] == "plain":
            metrics[f"{roles[gap['model']]}_gap_{gap['kind']}_{gap['weighting']}"] = gap["estimate"]
    for drop in scores["adversarial_drops"]:
        if drop["model"] in roles and drop["benchmark"] == "all":
            metrics[f"{roles[drop['model']]}_drop_{drop['stratum']}"] = drop["estimate"]
    return {
        "decision": decision["decision"],
        "baseline": decision["baseline"],
        "candidate": decision["candidate"],
        "look": decision["look"],
        "refused_by": [reason["rule"] for reason in decision["reasons"] if not reason["passed"]],
        "metrics": {name: value for name, value in metrics.items() if value is not None},
    }
