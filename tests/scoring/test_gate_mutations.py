"""Breaking the gate on purpose: every mutation of its source must be noticed by the checks that the real one passes."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from components.scoring.gate import decide as honest
from components.scoring.gate import guard, rules
from tests.scoring.gate_simulation import Truth, answers, bound, world

MODULES = {module.__name__.rpartition(".")[2]: module for module in (honest, rules, guard)}
GOOD = Truth(0.15, 0.05, 0.05, 0.05)

# What is broken -> (module, the words of its source, what they become)
MUTATIONS = {
    "candidate compared with itself": (
        "decide",
        '("baseline", old), ("candidate", new)',
        '("baseline", new), ("candidate", new)',
    ),
    "sides swapped": ("decide", "paired(values[1], values[0],", "paired(values[0], values[1],"),
    "margin's sign flipped": (
        "decide",
        "p, bounds = found.p_above(-rules.margin)",
        "p, bounds = found.p_above(rules.margin)",
    ),
    "margin ignored": ("decide", "p, bounds = found.p_above(-rules.margin)", "p, bounds = found.p_above(-0.99)"),
    "estimate in place of its bound": (
        "decide",
        """    passed = p <= rules.level
    name =""",
        """    passed = found.estimate > -rules.margin
    name =""",
    ),
    "groups ignored": ("decide", "values[0], table.groups[mask])", "values[0], np.arange(mask.sum()))"),
    "superiority not asked": (
        "decide",
        """    passed = p <= rules.level
    need""",
        """    passed = p <= 1
    need""",
    ),
    "alpha not shared among looks": ("rules", "return alpha / (look * (look + 1))", "return alpha"),
    "horizon has no end": ("rules", "alpha / horizon if look <= horizon else 0.0", "alpha / horizon"),
    "strata ignored": ("decide", "mask = table.mask(stratum)", 'mask = table.mask("all")'),
    "adversarial answers not read": ("decide", "side[setting].correct[mask]", 'side["plain"].correct[mask]'),
    "any rule is enough": ("decide", 'if all(reason["passed"]', 'if any(reason["passed"]'),
    "silence not counted": ("decide", "high < rules.no_answer_bound", "high <= 1"),
    "benchmarks not guarded": ("decide", '"passed": not lost}', '"passed": True}'),
    "guard looks for gains": ("guard", "found.swapped().p_above(0.0)", "found.p_above(0.0)"),
    "guard's sides swapped": (
        "guard",
        "paired(new.correct[mask], old.correct[mask]",
        "paired(old.correct[mask], new.correct[mask]",
    ),
    "guard not adjusted": ("guard", "p[order] * np.arange(len(p), 0, -1)", "p[order]"),
    "guard without a margin": ("guard", "and found.estimate <= -margin", ""),
}


def _verdict(gate: ModuleType, truth: Truth, seed: int = 1, items: int = 3000, **rules: Any) -> dict:
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


def _benchmarks(seed: int, loss: float, count: int = 25, n: int = 60) -> dict:
    """The sides and table of a candidate that loses `loss` on the last of `count` benchmarks of `n` items each."""
    rng = np.random.default_rng(seed)
    w = world(rng, items=count * n)
    table = replace(
        w.table,
        benchmarks=tuple(f"b{k}" for k in range(count)),
        benchmark=np.repeat(np.arange(count), n),
    )
    old, new = answers(rng, w), answers(rng, w, GOOD)
    last = table.benchmark == count - 1
    for setting in new:
        new[setting].correct[last] = old[setting].correct[last] * (rng.random(int(last.sum())) > loss)
    return {"table": table, "sides": {"old": old, "new": new}}


def _guarded(gate: ModuleType, loss: float, seed: int, **sizes: int) -> bool:
    made = _benchmarks(seed, loss, **sizes)
    return _passed(gate.decide(made["table"], made["sides"], "old", "new", gate.Rules()), "benchmark_guard")


def guards_benchmarks(gate: ModuleType) -> bool:
    return not _guarded(gate, 0.6, 5) and _guarded(gate, 0.0, 5)


def guards_against_losses_alone(gate: ModuleType) -> bool:
    """A small loss on many items is shown and is no reason; equal models are seldom refused, on many benchmarks."""
    if not _guarded(gate, 0.04, 6, count=2, n=4000):
        return False
    refused = 0
    for seed in range(8):
        made = _benchmarks(seed, 0.0)
        rng = np.random.default_rng(seed)
        w = world(rng, items=len(made["table"]))
        sides = {"old": answers(rng, w), "new": answers(rng, w)}
        refused += not _passed(gate.decide(made["table"], sides, "old", "new", gate.Rules()), "benchmark_guard")
    return refused / 8 <= bound(0.05, 8)


def ends_with_the_horizon(gate: ModuleType) -> bool:
    last, after = (_verdict(gate, GOOD, look=look, schedule="horizon", horizon=4) for look in (4, 5))
    return (last["decision"], after["decision"]) == ("promote", "refuse")


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
    ends_with_the_horizon,
    guards_benchmarks,
    guards_against_losses_alone,
    accepts_equal_knowledge,
    refuses_knowledge_at_the_margin,
    is_not_fooled_by_copies,
)


@pytest.fixture
def mutant(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The gate with one module broken: that module is executed anew, and the gate after it, from their sources."""
    name, words, broken = MUTATIONS[request.param]
    source = _source(MODULES[name])
    assert source.count(words) == 1, f"{request.param}: {name}'s source no longer says {words!r} exactly once"
    module = _execute(f"mutant_{name}", source.replace(words, broken))
    if name == "decide":
        yield module
    else:
        yield _execute(
            "mutant_gate", _source(honest).replace(f"components.scoring.gate.{name} import", f"mutant_{name} import")
        )
    for made in (f"mutant_{name}", "mutant_gate"):
        sys.modules.pop(made, None)


def _source(module: ModuleType) -> str:
    return Path(str(module.__file__)).read_text(encoding="utf-8")


def _execute(name: str, source: str) -> ModuleType:
    spec = importlib.util.spec_from_loader(name, loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    exec(compile(source, name, "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_real_gate_passes(check: Callable[[ModuleType], bool]) -> None:
    assert check(honest)


@pytest.mark.parametrize("mutant", MUTATIONS, indirect=True)
def test_mutation_is_noticed(mutant: ModuleType) -> None:
    assert not all(check(mutant) for check in CHECKS)
