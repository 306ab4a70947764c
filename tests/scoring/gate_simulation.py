"""Pairs of models with known true accuracies, put before the real gate: its error rate and its power."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.scoring.gate.decide import decide
from components.scoring.gate.paired import paired
from components.scoring.gate.rules import Rules
from components.scoring.outcomes import ADVERSARIAL, ItemTable, Outcomes

ITEMS = 1500
# Items per benchmark in the published evaluation set (zou-lab/BioMed-R1-Eval), 12,609 in all; pubmedqa is number 3.
PUBLISHED = {
    **{"MedXpertQA": 2450, "medqa": 1273, "medmcqa": 4183, "pubmedqa": 1000, "mmlu_health_biology": 1535},
    **{"medbullets_op4": 308, "medbullets_op5": 308, "hle_biomed": 147, "GPQA_Medical_test": 390},
    **{"Lancet": 412, "NEJM": 603},
}
REASONING_SHARE = 1 / 3  # the paper's is 0.328


@dataclass(frozen=True)
class Truth:
    """True differences, candidate minus baseline, in each cell that the gate looks at."""

    reasoning: float = 0.0
    knowledge: float = 0.0
    adversarial_reasoning: float = 0.0
    adversarial_knowledge: float = 0.0


@dataclass(frozen=True)
class World:
    """A table and each item's chance of being answered right, plainly and after an opening."""

    table: ItemTable
    plain: np.ndarray
    opened: np.ndarray
    copies: int


def world(rng: np.random.Generator, items: int = ITEMS, copies: int = 1) -> World:
    """Items of mixed difficulty; with `copies`, each question occurs that often and is answered alike each time."""
    groups = items // copies
    reasoning = np.repeat(rng.random(groups) < REASONING_SHARE, copies).astype(float)
    nothing = np.full(items, np.nan)
    table = ItemTable(
        ids=tuple(map(str, range(items))),
        groups=np.repeat(np.arange(groups), copies),
        benchmarks=("medqa",),
        benchmark=np.zeros(items, dtype=np.int64),
        reasoning=reasoning,
        prob=nothing,
        chance=np.full(items, 0.25),
        masks={"all": np.ones(items, dtype=bool), "knowledge": reasoning == 0, "reasoning": reasoning == 1},
    )
    plain = np.repeat(rng.uniform(0.15, 0.85, groups), copies)
    return World(table, plain, np.clip(plain - 0.1, 0.12, 1), copies)


def answers(rng: np.random.Generator, w: World, truth: Truth = Truth()) -> dict[str, Outcomes]:
    """One model's outcomes; its chances are the world's plus `truth`."""
    reasoning = w.table.mask("reasoning")
    plain = w.plain + np.where(reasoning, truth.reasoning, truth.knowledge)
    opened = w.opened + np.where(reasoning, truth.adversarial_reasoning, truth.adversarial_knowledge)
    groups = len(w.plain) // w.copies
    zero = np.zeros(len(plain))
    drawn = np.repeat(rng.random((4, groups)), w.copies, axis=1)
    plain_right = (drawn[0] < plain).astype(float)
    opened_right = (drawn[1:] < opened).mean(axis=0)
    return {"plain": Outcomes(plain_right, zero, zero), ADVERSARIAL: Outcomes(opened_right, zero, zero)}


def published_size(items: int = 12_609) -> ItemTable:
    """A table with benchmarks in the proportions of the published evaluation set; one group per item."""
    edges = np.round(np.cumsum(list(PUBLISHED.values())) * items / sum(PUBLISHED.values())).astype(int)
    reasoning = (np.arange(items) % 3 == 0).astype(float)
    return ItemTable(
        ids=tuple(map(str, range(items))),
        groups=np.arange(items),
        benchmarks=tuple(PUBLISHED),
        benchmark=np.searchsorted(edges, np.arange(items), side="right"),
        reasoning=reasoning,
        prob=np.full(items, np.nan),
        chance=np.full(items, 0.25),
        masks={"all": np.ones(items, dtype=bool), "knowledge": reasoning == 0, "reasoning": reasoning == 1},
    )


def alike(
    rng: np.random.Generator, table: ItemTable, truth: Truth, discordant: float
) -> tuple[dict[str, Outcomes], dict[str, Outcomes]]:
    """Baseline and candidate whose answers differ in the share `discordant` of the items, as `truth` says on average.

    Published pairs of models differ on 16 to 30 % of the items, a fine-tune on less. Each prefill of an item flips
    with it in half of the cases and by itself in the other half.
    """
    reasoning = table.mask("reasoning")
    changes = {
        "plain": np.where(reasoning, truth.reasoning, truth.knowledge),
        ADVERSARIAL: np.where(reasoning, truth.adversarial_reasoning, truth.adversarial_knowledge),
    }
    size, zero = len(table), np.zeros(len(table))
    old, new = {}, {}
    for setting, prefills in (("plain", 1), (ADVERSARIAL, 3)):
        change = changes[setting]
        spread = np.maximum(discordant, np.abs(change))
        own, shared = rng.random((prefills, size)), rng.random(size)
        draw = np.where(rng.random((prefills, size)) < 0.5, shared, own) if prefills > 1 else own
        flip = np.where(draw < (spread + change) / 2, 1, np.where(draw > 1 - (spread - change) / 2, -1, 0))
        before = np.where(flip == 0, rng.random((prefills, size)) < 0.5, flip < 0)
        after = np.where(flip == 0, before, flip > 0)
        old[setting] = Outcomes(before.mean(axis=0), zero, zero)
        new[setting] = Outcomes(after.mean(axis=0), zero, zero)
    return old, new


def quick(table: ItemTable, old: dict[str, Outcomes], new: dict[str, Outcomes], rules: Rules) -> bool:
    """Whether `decide` promotes; the whole of it runs only where its first rule, superiority, can hold."""
    mask = table.mask("reasoning")
    found = paired(new["plain"].correct[mask], old["plain"].correct[mask], table.groups[mask])
    if found is None or found.p_above(0.0) > rules.level:
        return False
    return decide(table, {"old": old, "new": new}, "old", "new", rules)["decision"] == "promote"


def promotions(pairs: int, truth: Truth, *, seed: int, copies: int = 1, looks: int = 1) -> float:
    """Share of `pairs` in which the gate promotes at any of `looks` decisions on fresh candidates."""
    rng = np.random.default_rng(seed)
    promoted = 0
    for _ in range(pairs):
        w = world(rng, copies=copies)
        baseline = answers(rng, w)
        promoted += any(
            quick(w.table, baseline, answers(rng, w, truth), Rules(look=look)) for look in range(1, looks + 1)
        )
    return promoted / pairs


def bound(alpha: float, pairs: int) -> float:
    """alpha plus three standard errors of a share seen in `pairs` trials."""
    return float(alpha + 3 * np.sqrt(alpha * (1 - alpha) / pairs))
