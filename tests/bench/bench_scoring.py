"""Speed of extraction, scoring and the bootstrap. Prints, asserts nothing on time."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from components.extraction import extract  # noqa: E402
from components.platform.tables import write_items, write_rows  # noqa: E402
from components.questions.items import QUESTION_TYPES, Item  # noqa: E402
from components.scoring.bootstrap import Block, draw_sums  # noqa: E402
from components.stages.compare import CompareConfig, score_files  # noqa: E402

OUTPUTS = ROOT / "tests" / "extraction" / "fixtures" / "real_outputs.jsonl"
ITEMS = 12_609  # of the published evaluation set
SETTINGS = ("plain", "adversarial_0", "adversarial_1", "adversarial_2")


def main() -> None:
    bench_extraction()
    bench_bootstrap()
    bench_score()


def clock(what: str, began: tuple[float, float], target: str) -> None:
    wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
    print(f"{what}: {wall:.1f} s ({cpu:.1f} s of CPU); target {target}")


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def real_outputs() -> list[dict]:
    lines = OUTPUTS.read_text(encoding="utf-8").splitlines()
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


if __name__ == "__main__":
    main()
