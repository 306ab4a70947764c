"""Breaking the gate on purpose: every mutation of its source must be noticed by the checks that the real one passes."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from components.scoring import gate as honest
from tests.scoring.gate_simulation import Truth, answers, bound, world

SOURCE = Path(honest.__file__).read_text(encoding="utf-8")
GOOD = Truth(0.15, 0.05, 0.05, 0.05)

# What is broken -> (the words of the source, what they become)
MUTATIONS = {
    "candidate compared with itself": (
        '("baseline", old), ("candidate", new)',
        '("baseline", new), ("candidate", new)',
    ),
    "sides swapped": ("paired(values[1], values[0],", "paired(values[0], values[1],"),
    "margin's sign flipped": ("passed = low > -rules.margin", "passed = low > rules.margin"),
    "margin ignored": ("passed = low > -rules.margin", "passed = low > -1"),
    "estimate in place of its bound": ("passed = low > -rules.margin", "passed = found.estimate > -rules.margin"),
    "groups ignored": ("values[0], table.groups[mask])", "values[0], np.arange(mask.sum()))"),
    "superiority not asked": ("passed = p <= rules.level", "passed = p <= 1"),
    "alpha not shared among looks": ("self.alpha / (self.look * (self.look + 1))", "self.alpha"),
    "strata ignored": ("mask = table.mask(stratum)", 'mask = table.mask("all")'),
    "adversarial answers not read": ("side[setting].correct[mask]", 'side["plain"].correct[mask]'),
    "any rule is enough": ('if all(reason["passed"]', 'if any(reason["passed"]'),
    "silence not counted": ("interval.high < rules.no_answer_bound", "interval.high <= 1"),
}


def _verdict(gate: ModuleType, truth: Truth, seed: int = 1, items: int = 3000, **rules: float) -> dict:
    rng = np.random.default_rng(seed)
    w = world(rng, items=items)
    sides = {"old": answers(rng, w), "new": answers(rng, w, truth)}
    return gate.decide(w.table, sides, "old", "new", gate.Rules(**rules))


def _passed(decision: dict, rule: str) -> bool:
    return next(reason["passed"] for reason in decision["reasons"] if reason["rule"] == rule)


def promotes_the_better(gate: ModuleType) -> bool:
    return _verdict(gate, GOOD)["decision"] == "promote"


def refuses_the_worse(gate: ModuleType) -> bool:
    return _verdict(gate, Truth(-0.1, -0.05, -0.05, -0.05))["decision"] == "refuse"


def refuses_the_equal(gate: ModuleType) -> bool:
    return _verdict(gate, Truth(0, 0.1, 0.1, 0.1))["decision"] == "refuse"


def accepts_equal_knowledge(gate: ModuleType) -> bool:
    verdicts = [_verdict(gate, Truth(reasoning=0.15), seed, items=9000) for seed in range(6)]
    return sum(_passed(verdict, "knowledge_not_inferior") for verdict in verdicts) >= 4


def refuses_lost_knowledge(gate: ModuleType) -> bool:
    return not _passed(_verdict(gate, Truth(0.15, -0.12, 0.1, 0.1)), "knowledge_not_inferior")


def refuses_knowledge_at_the_margin(gate: ModuleType) -> bool:
    verdicts = [_verdict(gate, Truth(0.15, -0.03, 0.1, 0.1), seed) for seed in range(60)]
    return sum(_passed(verdict, "knowledge_not_inferior") for verdict in verdicts) / 60 <= bound(0.025, 60)


def refuses_lost_robustness(gate: ModuleType) -> bool:
    return not _passed(_verdict(gate, Truth(0.15, 0.1, -0.1, 0.1)), "adversarial_reasoning_not_inferior")


def is_not_fooled_by_copies(gate: ModuleType) -> bool:
    rng = np.random.default_rng(2)
    claims = 0
    for _ in range(200):
        w = world(rng, copies=5)
        decision = gate.decide(w.table, {"old": answers(rng, w), "new": answers(rng, w)}, "old", "new", gate.Rules())
        claims += _passed(decision, "reasoning_superior")
    return claims / 200 <= bound(0.025, 200)


def grows_strict(gate: ModuleType) -> bool:
    verdict = _verdict(gate, Truth(0.07, 0.05, 0.05, 0.05), seed=4, items=1500, look=26)
    return not _passed(verdict, "reasoning_superior")


def refuses_silence(gate: ModuleType) -> bool:
    rng = np.random.default_rng(3)
    w = world(rng)
    new = answers(rng, w, GOOD)
    new["plain"].no_answer[: len(w.table) // 5] = 1
    return not _passed(
        gate.decide(w.table, {"old": answers(rng, w), "new": new}, "old", "new", gate.Rules()), "plain_no_answer"
    )


CHECKS: tuple[Callable[[ModuleType], bool], ...] = (
    promotes_the_better,
    refuses_the_worse,
    refuses_the_equal,
    refuses_lost_knowledge,
    refuses_lost_robustness,
    refuses_silence,
    grows_strict,
    accepts_equal_knowledge,
    refuses_knowledge_at_the_margin,
    is_not_fooled_by_copies,
)


@pytest.fixture
def mutant(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    words, broken = MUTATIONS[request.param]
    assert SOURCE.count(words) == 1, f"{request.param}: the gate's source no longer says {words!r} exactly once"
    spec = importlib.util.spec_from_loader("mutant_gate", loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutant_gate"] = module  # dataclasses look their module up
    exec(compile(SOURCE.replace(words, broken), "mutant_gate", "exec"), module.__dict__)
    yield module
    del sys.modules["mutant_gate"]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_real_gate_passes(check: Callable[[ModuleType], bool]) -> None:
    assert check(honest)


@pytest.mark.parametrize("mutant", MUTATIONS, indirect=True)
def test_mutation_is_noticed(mutant: ModuleType) -> None:
    assert not all(check(mutant) for check in CHECKS)
