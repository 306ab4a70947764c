"""How well and how fast outputs are read: the shared outputs, cases and benchmark options. Prints, asserts nothing.

Needs BIOMED_R1_DATA (real outputs and benchmarks); nothing of it is written anywhere. `--every N` takes each N-th
benchmark question, `--differ` prints the outputs that are read as another letter than the published one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from components.extraction import read  # noqa: E402

# How an output can say an option; "text" in the name: by its text alone.
SHAPES: dict[str, Callable[[str, str], str]] = {
    "answer is letter and text": lambda letter, text: f"The answer is {letter}. {text}",
    "first line": lambda letter, text: f"{letter}. {text}\n\nExplanation: this follows from the findings.",
    "answer is text": lambda letter, text: f"The answer is {text}.",
    "json": lambda letter, text: json.dumps({"answer": letter}),
    "json text": lambda letter, text: json.dumps({"step_by_step_thinking": "First.", "answer_choice": text}),
    "boxed": lambda letter, text: f"\\boxed{{{letter}}}",
    "boxed text": lambda letter, text: f"\\boxed{{{text}}}",
    "markdown": lambda letter, text: f"**Answer:** {letter}",
    "letter": lambda letter, text: letter,
    "is correct": lambda letter, text: f"({letter}) {text} is correct.",
    "tag": lambda letter, text: f"<answer>{letter}. {text}</answer>",
    "reasoned": lambda letter, text: f"Let us think step by step. So the correct option is ({letter}) {text}.",
}


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def bench_outputs(data: Path, differ: bool) -> None:
    """Right answers per model against the published judge, where the published letter is one of the item's."""
    items = {row["id"]: row for row in rows(data / "outputs" / "afrimedqa_288_items.jsonl")}
    per_model: dict[str, Counter[str]] = defaultdict(Counter)
    rules: Counter[str] = Counter()
    others = 0
    for row in rows(data / "outputs" / "afrimedqa_288_answers.jsonl"):
        item = items[row["item_id"]]
        reading = read(row["output"], item["options"])
        lettered = row["published_letter"] in item["options"]
        right = reading.letter == item["answer_idx"]
        count = per_model[row["model"]]
        count["published"] += row["published_correct"]
        count["ours"] += right and lettered
        count["no published letter"] += right and not lettered
        rules[reading.read_by] += 1
        if lettered and reading.letter not in (None, row["published_letter"]):
            others += 1
            if differ:
                print(row["model"], row["published_letter"], reading.letter, reading.read_by, repr(row["output"][:200]))
    for model, count in sorted(per_model.items()):
        print(
            f"  {model}: {count['ours']} right of {count['published']} published"
            f" ({count['ours'] - count['published']:+d}); {count['no published letter']} more where it has no letter"
        )
    total = sum(per_model.values(), Counter())
    print(f"outputs: {total['ours']} right, published {total['published']}; read as another letter: {others}")
    print(f"  rules: {dict(rules.most_common())}")


def bench_cases(data: Path) -> None:
    right = wrong = invented = missed = 0
    for row in rows(data / "cases" / "answers.jsonl"):
        letter = read(row["output"], row["options"]).letter
        right += letter == row["right"]
        wrong += letter is not None and row["right"] not in (None, letter)
        invented += letter is not None and row["right"] is None
        missed += letter is None and row["right"] is not None
    print(f"cases: {right} right, {wrong} wrong, {invented} invented, {missed} missed")


def bench_shapes(data: Path, every: int) -> None:
    counts: dict[str, Counter[str]] = {shape: Counter() for shape in SHAPES}
    for path in sorted((data / "benchmarks").glob("*.jsonl")):
        for place, row in enumerate(rows(path)):
            if place % every:
                continue
            options = {letter: text for letter, text in row["options"].items() if text is not None}
            for letter, text in options.items():
                for shape, say in SHAPES.items():
                    got = read(say(letter, text), options).letter
                    counts[shape]["read" if got == letter else "none" if got is None else "WRONG"] += 1
    for shape, count in counts.items():
        print(
            f"  {shape}: {100 * count['read'] / count.total():.2f} % of {count.total():,} read, {count['WRONG']} wrong"
        )


def bench_speed() -> None:
    """50,000 real outputs, half of them made four times as long by reasoning before them."""
    lines = (ROOT / "tests" / "extraction" / "fixtures" / "real_outputs.jsonl").read_text(encoding="utf-8").splitlines()
    cases = [json.loads(line) for line in lines]
    before = "I consider a beta blocker, then vitamin C. The heart is fast, so this is not right for him. " * 8
    outputs = [((before if n % 2 else "") + c["output"], c["options"]) for n, c in enumerate(cases * 468)][:50_000]
    began = time.process_time()
    for text, options in outputs:
        read(text, options)
    print(f"speed: {len(outputs):,} outputs in {time.process_time() - began:.1f} s of CPU; target 5 s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="each N-th benchmark question")
    parser.add_argument("--differ", action="store_true", help="print outputs read as another than the published letter")
    chosen = parser.parse_args()
    bench_speed()
    folder = os.environ.get("BIOMED_R1_DATA")
    if not folder:
        print("bench_extraction: set BIOMED_R1_DATA to the folder of real data for the rest")
        return 0
    bench_cases(Path(folder))
    bench_outputs(Path(folder), chosen.differ)
    bench_shapes(Path(folder), chosen.every)
    return 0


if __name__ == "__main__":
    sys.exit(main())
