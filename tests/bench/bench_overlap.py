"""How long decontamination and the search for near-duplicates take on 200,000 training rows and 12,609 questions.

The rows are made: texts of random words whose frequencies fall as those of a language do, a tenth of them copies with
some words changed. With BIOMED_R1_DATA they are varied from the training sets in it instead.
"""

from __future__ import annotations

import json
import os
import random
import resource
import time
from pathlib import Path

from components.questions.items import Item
from components.questions.overlap import decontaminate, without_near_duplicates

ROWS, QUESTIONS = 200_000, 12_609
WORDS = 60_000


def main() -> None:
    rng = random.Random(0)
    if folder := os.environ.get("BIOMED_R1_DATA"):
        questions, train = (_read(Path(folder) / kind) for kind in ("benchmarks", "train"))
    else:
        words = [f"w{n}" for n in range(WORDS)]
        made = [_made(f"m{n}", words, rng) for n in range(30_000)]
        questions, train = made[:11_000], made[11_000:]
    questions = (questions * 2)[:QUESTIONS]
    questions = [item.with_(id=f"q{n}") for n, item in enumerate(questions)]
    pool = sorted({word for item in train for word in item.question.split()})
    rows = [_varied(train[n % len(train)], f"t{n}", pool, rng, 0.1 if n % 10 == 0 else 0.5) for n in range(ROWS)]
    started = time.process_time(), time.perf_counter()
    clean, contaminated = decontaminate(rows, questions, 2, 0.4)
    middle = time.process_time(), time.perf_counter()
    kept, duplicates = without_near_duplicates(clean, 2, 0.7)
    ended = time.process_time(), time.perf_counter()
    for name, one, other in (("decontaminate", started, middle), ("near-duplicates", middle, ended)):
        print(f"{name}: {other[1] - one[1]:.0f} s ({other[0] - one[0]:.0f} s of CPU)")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{ROWS} rows x {QUESTIONS} questions: {len(contaminated)} contaminated, {len(duplicates)} near-duplicates, ")
    print(f"{len(kept)} kept; together {ended[1] - started[1]:.0f} s, peak {peak:.1f} GiB")


def _read(folder: Path) -> list[Item]:
    rows = [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.open(encoding="utf-8")]
    return [
        Item(str(n), r["question"], r["options"], r["answer_idx"], "x", context=r.get("context"))
        for n, r in enumerate(rows)
    ]


def _made(name: str, words: list[str], rng: random.Random) -> Item:
    def text(length: int) -> str:
        return " ".join(words[int(WORDS ** rng.random()) - 1] for _ in range(length))

    return Item(name, text(rng.randint(10, 120)), {letter: text(rng.randint(1, 5)) for letter in "ABCD"}, "A", "x")


def _varied(item: Item, name: str, pool: list[str], rng: random.Random, share: float) -> Item:
    def change(text: str) -> str:
        return " ".join(rng.choice(pool) if rng.random() < share else word for word in text.split())

    options = {letter: change(text) for letter, text in item.options.items()}
    return item.with_(id=name, question=change(item.question), options=options)


if __name__ == "__main__":
    main()
