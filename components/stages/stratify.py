"""Stratify: a classifier says of every item whether it takes reasoning, and how many do, per benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from components.engines.reasoning import ReasoningClassifier
from components.errors import InputError
from components.platform.models import local_model
from components.platform.tables import read_items, write_items
from components.platform.verbs import config_options, write_json
from components.qa import classification as qa
from components.qa.items import STRATA, Item, group_of
from components.qa.published import REASONING_SHARE


class StratifyConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold_rule: Literal["classifier", "fixed", "match_share"] = Field(
        "classifier", description="classifier: the one in its classifier.json; match_share: target_share of these items"
    )
    threshold: float | None = Field(None, ge=0, le=1, description="for the rule fixed")
    target_share: float = Field(REASONING_SHARE, gt=0, lt=1, description="for match_share; default: the paper's")
    max_length: int | None = Field(None, ge=16, description="tokens of a question; null: as in training")
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    seed: int = Field(0, description="of the bootstrap intervals")


def stratify(items: Path | Sequence[Path], classifier: Path, config: StratifyConfig, out: Path) -> dict[str, Any]:
    """Score every item and write them to `out` with reasoning_prob, is_reasoning and reasoning_threshold set.

    Strata that an input carries from elsewhere move to meta.published and are compared with ours. Returns the share
    per benchmark, pooled and macro (with intervals over question groups) beside the paper's.
    """
    rows = _read([items] if isinstance(items, Path) else list(items))
    model = ReasoningClassifier.open(classifier)
    probabilities = model.score(rows, config.max_length, config.dtype)
    threshold = _threshold(config, model, probabilities)
    seen = model.seen_groups
    stratified = [
        _published_aside(item).with_(
            reasoning_prob=float(prob), is_reasoning=bool(prob >= threshold), reasoning_threshold=threshold
        )
        for item, prob in zip(rows, probabilities, strict=True)
    ]
    write_items([_with_source(item, group_of(item) in seen) for item in stratified], out)
    return _evidence(stratified, threshold, seen, config)


def _read(paths: list[Path]) -> list[Item]:
    rows: list[Item] = []
    source: dict[str, Path] = {}
    for path in paths:
        for item in read_items(path):
            if item.id in source:
                raise InputError(f"{path}: id: {item.id!r} is also an id of {source[item.id]}; ids must be unique")
            source[item.id] = path
            rows.append(item)
    return rows


def _threshold(config: StratifyConfig, model: ReasoningClassifier, probabilities: np.ndarray) -> float:
    if config.threshold_rule == "classifier":
        return model.threshold
    return qa.choose_threshold(
        config.threshold_rule, probabilities, fixed=config.threshold, target_share=config.target_share
    )


def _published_aside(item: Item) -> Item:
    """Strata of unknown origin go to meta.published; ours (they carry meta.prob_source) are simply replaced."""
    found = {name: getattr(item, name) for name in STRATA if getattr(item, name) is not None}
    if not found or "prob_source" in item.meta or "published" in item.meta:
        return item
    return item.with_(meta={**item.meta, "published": found})


def _with_source(item: Item, seen: bool) -> Item:
    return item.with_(meta={**item.meta, "prob_source": "classifier_in_sample" if seen else "classifier"})


def _evidence(rows: list[Item], threshold: float, seen: frozenset[str], config: StratifyConfig) -> dict[str, Any]:
    by_benchmark: dict[str, list[Item]] = {}
    for item in rows:
        by_benchmark.setdefault(item.dataset_name, []).append(item)
    shares = {name: _share(part, seen, config.seed) for name, part in by_benchmark.items()}
    pooled = _share(rows, seen, config.seed)
    macro = float(np.mean([share["share"] for share in shares.values()]))
    metrics = {"reasoning_share": pooled["share"], "reasoning_share_macro": macro, "threshold": threshold}
    metrics |= {f"reasoning_share_{name}": share["share"] for name, share in shares.items()}
    return {
        "items": len(rows),
        "threshold": threshold,
        "threshold_rule": config.threshold_rule,
        "pooled": pooled,
        "macro_share": macro,
        "benchmarks": shares,
        "paper": {"share": REASONING_SHARE, "source": "arXiv 2505.11462, abstract: 32.8 % of 11 benchmarks' questions"},
        "experts": _against_experts(rows, seen),
        "published": _against_published(rows),
        "metrics": metrics | {"reasoning_share_paper": REASONING_SHARE},
    }


def _share(rows: list[Item], seen: frozenset[str], seed: int) -> dict[str, Any]:
    flags = np.array([float(bool(item.is_reasoning)) for item in rows])
    groups = [group_of(item) for item in rows]
    low, high = qa.share_interval(groups, flags, seed)
    return {
        "n": len(rows),
        "groups": len(set(groups)),
        "share": float(flags.mean()),
        "ci_low": low,
        "ci_high": high,
        "mean_prob": float(np.mean([item.reasoning_prob for item in rows])),
        "in_sample": sum(group in seen for group in groups),
    }


def _against_experts(rows: list[Item], seen: frozenset[str]) -> dict[str, Any]:
    """Agreement with the experts' labels among these items, apart for those the classifier was not trained on."""
    labelled = [item for item in rows if item.question_type is not None]
    parts = {"all": labelled, "unseen": [item for item in labelled if group_of(item) not in seen]}
    return {name: _agreement(part, [i.question_type == "Reasoning" for i in part]) for name, part in parts.items()}


def _against_published(rows: list[Item]) -> dict[str, Any]:
    """Agreement with the strata that the input carried (meta.published), pooled and per benchmark."""
    carried = [item for item in rows if (item.meta.get("published") or {}).get("is_reasoning") is not None]
    names = dict.fromkeys(item.dataset_name for item in carried)
    parts = {"all": carried, **{name: [i for i in carried if i.dataset_name == name] for name in names}}
    return {
        name: _agreement(part, [bool(i.meta["published"]["is_reasoning"]) for i in part])
        for name, part in parts.items()
    }


def _agreement(rows: list[Item], theirs: list[bool]) -> dict[str, Any]:
    if not rows:
        return {"n": 0}
    ours = [bool(item.is_reasoning) for item in rows]
    values = {
        "agreement": float(np.mean([a == b for a, b in zip(ours, theirs, strict=True)])),
        "kappa": qa.kappa(ours, theirs),
        "auroc": qa.auroc(np.array(theirs, dtype=int), np.array([item.reasoning_prob for item in rows], dtype=float)),
        "their_share": float(np.mean(theirs)),
    }
    return {"n": len(rows), **{name: None if np.isnan(value) else value for name, value in values.items()}}


@click.command("stratify")
@click.option("--items", "items", required=True, multiple=True, type=click.Path(path_type=Path), help="repeatable")
@click.argument("more_items", nargs=-1, type=click.Path(path_type=Path))
@click.option("--classifier", required=True, help="model reference of a trained classifier")
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Parquet (or JSONL) to write"
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False), help="write the evidence here")
@config_options(StratifyConfig)
def command(
    items: tuple[Path, ...],
    more_items: tuple[Path, ...],
    classifier: str,
    out: Path,
    json_file: str | None,
    config: StratifyConfig,
) -> None:
    """Score items as reasoning or knowledge; several files may follow --items."""
    evidence = stratify((*items, *more_items), local_model(classifier), config, out)
    write_json(json_file, evidence)
    for name, share in (*sorted(evidence["benchmarks"].items()), ("all", evidence["pooled"])):
        click.echo(
            f"{name:24} {share['n']:6} items  reasoning {share['share']:.3f} "
            f"({share['ci_low']:.3f} to {share['ci_high']:.3f})"
        )
    click.echo(f"paper: {REASONING_SHARE:.3f} of its eleven benchmarks; threshold {evidence['threshold']:.3f}")
