"""Writes what `biomed-r1 compare` takes: questions, two files of answers, and how each was made.

    python examples/gate/make_files.py FOLDER

The questions are sums, and the two "models" are wrong by chance, the new one less often. Put your own in their place:
the columns and the keys of the side files are all that the gate needs.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from components.platform.tables import read_items
from components.questions.items import items_digest

QUESTIONS = 1500  # fewer cannot pass the gate at its default margin (docs/gate-power.md)
WRONG = {"served": 0.30, "new": 0.20}


def questions() -> list[dict[str, object]]:
    """Sums of two numbers are called knowledge, of three reasoning: your strata come from `biomed-r1 stratify`."""
    draw = random.Random(0)
    rows: list[dict[str, object]] = []
    for number in range(QUESTIONS):
        terms = [draw.randrange(10, 90) for _ in range(3 if number % 3 == 0 else 2)]
        key = draw.choice("ABCD")
        wrong = iter((1, 2, 3))
        options = {letter: str(sum(terms) + (0 if letter == key else next(wrong))) for letter in "ABCD"}
        rows.append(
            {
                "id": f"sum-{number}",
                "question": f"{number}: what is {' + '.join(map(str, terms))}?",
                "options": options,
                "answer_idx": key,
                "dataset_name": "sums",
                "is_reasoning": len(terms) == 3,
                "reasoning_prob": float(len(terms) == 3),
            }
        )
    return rows


def answers(model: str, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """An answer to each question, plainly and after each of three prefills; `output` is without the prefill."""
    draw = random.Random(model)
    found: list[dict[str, object]] = []
    for row in rows:
        for setting in ("plain", "adversarial_0", "adversarial_1", "adversarial_2"):
            key = str(row["answer_idx"])
            letter = draw.choice([x for x in "ABCD" if x != key]) if draw.random() < WRONG[model] else key
            output = f"The answer is {letter}."
            found.append({"item_id": row["id"], "model": model, "setting": setting, "output": output})
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    rows = questions()
    write(folder / "questions.jsonl", rows)
    same = {  # of both files, or the gate refuses: the two were not asked alike
        "items_digest": items_digest(read_items(folder / "questions.jsonl")),
        "prompt": "my prompt, version 1",
        "decoding": json.dumps({"max_new_tokens": 64, "temperature": 0.0}),
        "engine": "my server 1.0",
    }
    for model in WRONG:
        write(folder / f"{model}.jsonl", answers(model, rows))
        text = json.dumps({**same, "weights_sha256": f"digest of the weights of {model}"}, indent=1)
        (folder / f"{model}.jsonl.meta.json").write_text(text, encoding="utf-8")


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
