"""Curate: the training mix. Nothing a benchmark asks, nothing twice, reasoning first, some of it begun wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from components.classifier.model import ReasoningClassifier
from components.errors import StageError
from components.platform.progress import progress
from components.platform.tables import read_items, write_rows
from components.questions import training_mix as mix
from components.questions.items import Item, group_of
from components.questions.overlap import Removed, decontaminate, without_near_duplicates

SCHEMA_VERSION = 1


class Sources(BaseModel):
    """Which training sets each of ours is made of, by data set, folder or file name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sft: tuple[str, ...] = Field(min_length=1)
    rl: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _apart(self) -> Sources:
        if both := set(self.sft) & set(self.rl):
            raise ValueError(f"sft and rl: {', '.join(sorted(both))} is in both; a set has one source or the other")
        return self


class CurateConfig(BaseModel):
    """The paper's adversarial training column was not released and its sizes are not known: free, named choices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sft_size: int = Field(1000, ge=1, description="items of the SFT set; corrected examples come on top")
    rl_size: int = Field(1000, ge=1, description="items of the RL set")
    sources: Sources | None = Field(
        None, description="each set of its own sources, which may share questions; null: both of all, sharing none"
    )
    min_prob: float | None = Field(
        None, ge=0, le=1, description="reasoning-heavy from here; null: the classifier's threshold"
    )
    reasoning_share_min: float = Field(0.0, ge=0, le=1, description="fail when less of either set is reasoning-heavy")
    rl_reasoning_share_min: float | None = Field(None, ge=0, le=1, description="as above, of the RL set alone")
    adversarial_share: float = Field(1 / 3, ge=0, le=0.5, description="share of SFT rows that begin wrong")
    rl_adversarial_share: float = Field(0.5, ge=0, le=1, description="share of RL rows that begin wrong")
    prompt: str = Field("stepwise", description="prompt style of every example")
    # Chosen on 13,406 public training questions against 11,057 of seven benchmarks, samples read by eye: two words find
    # more rewordings than one or three. Of the removed, 14 of 20 are copies at 0.45 to 0.55, 8 of 20 at 0.40 to 0.45,
    # hardly any below; the others are siblings (same form and options). A lost sibling costs less than a kept copy.
    ngram: int = Field(2, ge=1, le=13, description="words of an n-gram")
    containment_threshold: float = Field(0.4, gt=0, le=1, description="a training item at or above it is contaminated")
    max_contaminated_share: float = Field(0.1, ge=0, le=1, description="fail when more of the training items are")
    near_duplicate_threshold: float = Field(0.7, gt=0, le=1, description="of stem and of options")
    max_trace_characters: int | None = Field(None, ge=1, description="longer traces are not learnt from")
    max_length: int | None = Field(None, ge=16, description="tokens of a question to classify; null: as in training")
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    seed: int = 0


def curate(train: Path, benchmarks: Path, classifier: Path, config: CurateConfig, out_dir: Path) -> dict[str, Any]:
    """Write sft.parquet, rl.parquet and curation.json (no question text) to `out_dir`; returns the evidence.

    Raises StageError when more than max_contaminated_share of the training items overlap with a benchmark item, when
    nothing is left to train on, or when a set is less reasoning-heavy than asked.
    """
    clean = without_overlaps(read_items(train), read_items(benchmarks), config)
    model = ReasoningClassifier.open(classifier)
    scores, _ = model.score(clean.kept, config.max_length, config.dtype)
    min_prob = model.threshold if config.min_prob is None else config.min_prob
    mixed = mix_sets(clean, list(map(float, scores)), min_prob, config)
    metadata = {"schema_version": str(SCHEMA_VERSION), "prompt": config.prompt}
    write_rows(mixed.sft, out_dir / "sft.parquet", metadata)
    write_rows(mixed.rl, out_dir / "rl.parquet", metadata)
    (out_dir / "curation.json").write_text(json.dumps(mixed.card, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return _evidence(mixed.card)


@dataclass(frozen=True)
class Clean:
    """What is left of `train` items once overlaps with `benchmark_items` questions and near-duplicates are out.

    `unused` is how many were of no source that a set is made of.
    """

    train: int
    unused: int
    benchmark_items: int
    kept: list[Item]
    contaminated: list[Removed]
    duplicates: list[Removed]


@dataclass(frozen=True)
class Mixed:
    """The rows of both sets, and curation.json."""

    sft: list[dict[str, Any]]
    rl: list[dict[str, Any]]
    card: dict[str, Any]


def without_overlaps(items: list[Item], questions: list[Item], config: CurateConfig) -> Clean:
    """Leave out what a benchmark asks, then near-duplicates. Raises StageError above max_contaminated_share.

    Near-duplicates are looked for among the items that could meet in one set.
    """
    given = len(items)
    if config.sources:
        items = [item for item in items if mix.is_from(item, (*config.sources.sft, *config.sources.rl))]
        if not items:
            raise StageError(f"curate: no training item is of the sources {config.sources.model_dump()}; name others")
    watched = progress(items, "curate: comparing with the benchmarks")
    clean, contaminated = decontaminate(watched, questions, config.ngram, config.containment_threshold)
    _check_contamination(len(contaminated), len(items), config)
    kept: list[Item] = []
    duplicates: list[Removed] = []
    for pool in _pools(clean, config):
        left, out = without_near_duplicates(pool, config.ngram, config.near_duplicate_threshold)
        kept += left
        duplicates += out
    return Clean(len(items), given - len(items), len(questions), kept, contaminated, duplicates)


def _pools(items: list[Item], config: CurateConfig) -> list[list[Item]]:
    """The items of the SFT set's sources and of the RL set's; all in one where no sources are named."""
    if config.sources is None:
        return [items]
    rl = [item for item in items if mix.is_from(item, config.sources.rl)]
    ids = {item.id for item in rl}
    return [[item for item in items if item.id not in ids], rl]


def mix_sets(clean: Clean, scores: Sequence[float], min_prob: float, config: CurateConfig) -> Mixed:
    """Both sets out of the clean items; `scores` are their reasoning probabilities, in order.

    Raises StageError when nothing is left to train on or a set is less reasoning-heavy than asked.
    """
    kept = clean.kept
    prob = {item.id: score for item, score in zip(kept, scores, strict=True)}
    problems = {item.id: mix.trace_problem(item, config.max_trace_characters) for item in kept}
    usable = {name for name, problem in problems.items() if problem is None}
    if config.sources is None:
        sft_items, rl_items = mix.choose(kept, usable, prob, min_prob, config.sft_size, config.rl_size, config.seed)
    else:
        for_sft, for_rl = _pools(kept, config)
        sft_items = mix.pick(for_sft, usable, prob, min_prob, config.sft_size, config.seed)
        rl_items = mix.pick(for_rl, None, prob, min_prob, config.rl_size, config.seed)
    sft_rows, rl_rows = _sft_rows(sft_items, config), _rl_rows(rl_items, config)
    sets = {
        name: _described(chosen, prob, min_prob, rows)
        for name, chosen, rows in (("sft", sft_items, sft_rows), ("rl", rl_items, rl_rows))
    }
    _check_sets(sets, config)
    rejected = [{"id": i, "reason": f"trace_{p}"} for i, p in problems.items() if p not in (None, "no_trace")]
    card = {
        "schema_version": SCHEMA_VERSION,
        "min_prob": min_prob,
        "counts": {
            "train": clean.train,
            "other_sources": clean.unused,
            "in_both_sets": len({group_of(i) for i in sft_items} & {group_of(i) for i in rl_items}),
            "benchmark_items": clean.benchmark_items,
            "contaminated": len(clean.contaminated),
            "near_duplicates": len(clean.duplicates),
            "kept": len(kept),
            "reasoning_heavy": sum(p >= min_prob for p in prob.values()),
            "usable_traces": len(usable),
            "rejected_traces": len(rejected),
        },
        "contamination_rate": len(clean.contaminated) / clean.train,
        "sets": sets,
        # An item whose trace was rejected is only out of the SFT set.
        "removed": [removed.row() for removed in (*clean.contaminated, *clean.duplicates)] + rejected,
    }
    return Mixed(sft_rows, rl_rows, card)


def _check_contamination(contaminated: int, items: int, config: CurateConfig) -> None:
    share = contaminated / items
    if share > config.max_contaminated_share:
        raise StageError(
            f"curate: {contaminated} of {items} training items ({share:.1%}) overlap with a benchmark item, more than "
            f"max_contaminated_share {config.max_contaminated_share:.1%}: is a test set among the training files? "
            "Remove it, or raise the limit if dropping these rows is enough; training was not started"
        )


def _sft_rows(items: list[Item], config: CurateConfig) -> list[dict[str, Any]]:
    """Every item plainly, and some again with a wrong opening, so that those are adversarial_share of all rows."""
    again = mix.take_share(items, config.adversarial_share / (1 - config.adversarial_share), config.seed)
    rows = [mix.plain_example(item, config.prompt) for item in items]
    corrected = [mix.corrected_example(item, config.prompt, config.seed) for item in items if item.id in again]
    return rows + [row for row in corrected if row is not None]


def _rl_rows(items: list[Item], config: CurateConfig) -> list[dict[str, Any]]:
    adversarial = mix.take_share(items, config.rl_adversarial_share, config.seed)
    return [mix.rl_example(item, config.prompt, config.seed, item.id in adversarial) for item in items]


def _described(
    items: list[Item], prob: dict[str, float], min_prob: float, rows: list[dict[str, Any]]
) -> dict[str, Any]:
    heavy = sum(prob[item.id] >= min_prob for item in items)
    return {
        "items": len(items),
        "rows": len(rows),
        "with_wrong_opening": sum(bool(row["opening"]) for row in rows),
        "reasoning_heavy_share": heavy / len(items) if items else 0.0,
        "mean_prob": float(np.mean([prob[item.id] for item in items])) if items else 0.0,
        "sources": dict(Counter(item.dataset_name for item in items)),
    }


def _check_sets(sets: dict[str, dict[str, Any]], config: CurateConfig) -> None:
    for name, described in sets.items():
        if not described["items"]:
            need = "items with a trace that ends in the right answer" if name == "sft" else "items beside the SFT set"
            raise StageError(f"curate: nothing is left for the {name} set; add {need} to the training data")
        own = name == "rl" and config.rl_reasoning_share_min is not None
        limit = config.rl_reasoning_share_min if own else config.reasoning_share_min
        if described["reasoning_heavy_share"] < (limit or 0.0):
            raise StageError(
                f"curate: {described['reasoning_heavy_share']:.1%} of the {name} set is reasoning-heavy, less than "
                f"{'rl_' if own else ''}reasoning_share_min {limit:.1%}; shrink the set, add data or lower the limit"
            )


def _evidence(card: dict[str, Any]) -> dict[str, Any]:
    metrics = {"contamination_rate": card["contamination_rate"]}
    for name in ("train", "contaminated", "near_duplicates", "kept", "reasoning_heavy", "usable_traces"):
        metrics[f"items_{name}"] = card["counts"][name]
    for name, described in card["sets"].items():
        metrics |= {f"{name}_{field}": described[field] for field in ("items", "rows", "reasoning_heavy_share")}
    return {name: card[name] for name in ("counts", "contamination_rate", "min_prob", "sets")} | {"metrics": metrics}
