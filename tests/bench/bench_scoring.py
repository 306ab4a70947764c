"""Speed of extraction, scoring and the bootstrap, and the gate's error rates and power. Prints, asserts nothing on
time.

`--full` simulates 2,000 pairs and schedules in every scenario (about a minute); the default takes 500.
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from components.extraction.engine import extract  # noqa: E402
from components.platform.tables import write_items, write_rows  # noqa: E402
from components.questions.items import QUESTION_TYPES, Item  # noqa: E402
from components.scoring.bootstrap import Block, draw_sums  # noqa: E402
from components.scoring.gate import Rules  # noqa: E402
from components.stages.compare import CompareConfig, score_files  # noqa: E402

TESTS = ROOT / "tests"
ITEMS = 12_609  # of the published evaluation set
SETTINGS = ("plain", "adversarial_0", "adversarial_1", "adversarial_2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="2,000 pairs instead of 500")
    full = parser.parse_args().full
    bench_extraction()
    bench_bootstrap()
    bench_score()
    bench_gate(2000 if full else 500)


def clock(what: str, began: tuple[float, float], target: str) -> None:
    wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
    print(f"{what}: {wall:.1f} s ({cpu:.1f} s of CPU); target {target}")


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def real_outputs() -> list[dict]:
    lines = (TESTS / "extraction" / "fixtures" / "real_outputs.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def bench_extraction() -> None:
    """50,000 real outputs, each made four times as long by reasoning before it, so about 1 kB."""
    cases = real_outputs()
    before = "I consider a beta blocker, then vitamin C. The heart is fast, so this is not right for him. " * 8
    outputs = [((before if n % 2 else "") + c["output"], c["options"]) for n, c in enumerate(cases * 468)][:50_000]
    size = sum(len(text) for text, _ in outputs) / len(outputs)
    began = now()
    for text, options in outputs:
        extract(text, options)
    clock(f"extract {len(outputs):,} outputs of {size:.0f} characters on average", began, "5 s")


def bench_bootstrap() -> None:
    rng = np.random.default_rng(0)
    block = Block(np.arange(12_000), rng.random((12_000, 32)))
    began = now()
    draw_sums([block], 12_000, 10_000, seed=1)
    clock("10,000 bootstrap draws, 12,000 groups, 16 ratios", began, "2 s")


def bench_score() -> None:
    """`score` from files to file: 12,609 items in four settings, with strata, probabilities and experts' labels."""
    rng = np.random.default_rng(1)
    names = ["medqa", "medmcqa", "MedXpertQA", "NEJM", "Lancet", "pubmedqa", "GPQA_Medical_test"]
    items = [
        Item(
            f"q{n}",
            f"Question {n - n % 5 if n % 50 < 5 else n}?",
            {letter: f"choice {letter}{n}" for letter in "ABCD"},
            "ABCD"[n % 4],
            names[n * len(names) // ITEMS],
            is_reasoning=n % 3 == 0,
            reasoning_prob=float(rng.random()),
            question_type=QUESTION_TYPES[n % 4 > 2] if names[n * len(names) // ITEMS] == "MedXpertQA" else None,
        )
        for n in range(ITEMS)
    ]
    before = "The patient has chest pain, and I weigh one option after another before I decide. " * 6
    rows = [
        {
            "item_id": item.id,
            "model": "m",
            "setting": setting,
            "output": f"{before if n % 2 else ''}The answer is {'ABCD'[int(rng.integers(4))]}.",
            "finish_reason": "stop",
        }
        for setting in SETTINGS
        for n, item in enumerate(items)
    ]
    with tempfile.TemporaryDirectory() as folder:
        questions, answers = Path(folder) / "items.parquet", Path(folder) / "answers.parquet"
        write_items(items, questions)
        write_rows(rows, answers)
        began = now()
        score_files(questions, [answers], CompareConfig(), Path(folder) / "scores.json")
        clock(f"score {ITEMS:,} items x 4 settings, all statistics", began, "10 s")


def bench_gate(pairs: int) -> None:
    simulation = runpy.run_path(str(TESTS / "scoring" / "gate_simulation.py"))
    truth, promotions = simulation["Truth"], simulation["promotions"]
    margin, alpha = Rules().margin, Rules().alpha
    scenarios = {
        "no difference": {"truth": truth()},
        "reasoning +5, knowledge at -margin": {"truth": truth(0.05, -margin)},
        "reasoning +5, adversarial at -margin": {"truth": truth(0.05, 0, -margin, -margin)},
        "reasoning +15, knowledge at -margin": {"truth": truth(0.15, -margin, 0.1, 0.1)},
        "no difference, five copies": {"truth": truth(), "copies": 5},
        "no difference, 26 looks": {"truth": truth(), "looks": 26},
    }
    began = now()
    print(
        f"gate on {simulation['ITEMS']} items, false promotions in {pairs} pairs (alpha {alpha}, one look {alpha / 2}):"
    )
    for name, scenario in scenarios.items():
        print(f"  {name}: {promotions(pairs, seed=30, **scenario):.4f}", flush=True)
    clock(f"  {len(scenarios)} scenarios", began, "60 s at 2,000 pairs")
    print("gate, promotions of a model that is better by as much in every cell:")
    for gain in (0.02, 0.05, 0.10):
        print(f"  +{100 * gain:.0f} points: {promotions(pairs // 2, truth(gain, gain, gain, gain), seed=31):.2f}")
    print("gate, promotions of a model that is better in reasoning only:")
    for gain in (0.02, 0.05, 0.10):
        print(f"  +{100 * gain:.0f} points: {promotions(pairs // 2, truth(gain, 0, gain, 0), seed=32):.2f}")


if __name__ == "__main__":
    main()
