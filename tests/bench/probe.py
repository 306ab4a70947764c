"""The extraction rule against the probe, on both engines: SmolLM2 on 300 questions, every finished answer asked again.

    python tests/bench/probe.py [--questions 300] [--engines transformers vllm] [--settings plain adversarial]

Prints Markdown: how often the probe's letter differs from the one that the rule read, how many answers the rule did
not read, and between which bounds the accuracy would lie if all of those were wrong, or right.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from real_questions import real_questions, where_from  # noqa: E402

from components.extraction import read  # noqa: E402
from components.platform.tables import read_items, read_rows, write_items  # noqa: E402
from components.questions.items import group_of  # noqa: E402
from components.questions.sampling import sample  # noqa: E402
from components.scoring.intervals import accuracy_interval  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--engines", nargs="+", default=["transformers", "vllm"])
    parser.add_argument("--settings", nargs="+", default=["plain", "adversarial"])
    parser.add_argument("--new-tokens", type=int, default=64)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        items = Path(folder) / "items.parquet"
        write_items(sample(real_questions(), args.questions, seed=0), items)
        print(f"SmolLM2-135M-Instruct, {args.questions} {where_from()}, probe of every finished answer\n")
        print("| engine | setting | answers | probed | rule ≠ probe, of the read ones (95 %) | not read | accuracy |")
        print("|---|---|---|---|---|---|---|")
        for engine in args.engines:
            out = Path(folder) / engine
            command = [sys.executable, "-m", "pipelines.cli", "evaluate", "--model", "package:smollm2-135m-instruct"]
            command += ["--items", str(items), "--out", str(out), "--engine", engine, "--name", engine]
            command += ["--settings", ",".join(args.settings), "--set", "probe_percent=100", "--examples", "0"]
            command += ["--set", f"max_new_tokens={args.new_tokens}"]
            subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
            report(engine, items, out / "answers.parquet")


def report(engine: str, items: Path, answers: Path) -> None:
    by_id = {item.id: item for item in read_items(items)}
    codes = {group: code for code, group in enumerate({group_of(item) for item in by_id.values()})}
    rows = read_rows(answers)
    for setting in dict.fromkeys(row["setting"] for row in rows):
        own = [row for row in rows if row["setting"] == setting]
        letters = [read(row["output"], by_id[row["item_id"]].options).letter for row in own]
        right = sum(letter == by_id[row["item_id"]].answer_idx for row, letter in zip(own, letters, strict=True))
        both = [(row, letter) for row, letter in zip(own, letters, strict=True) if row["probe"] and letter]
        differ = np.array([row["probe"] != letter for row, letter in both], dtype=float)
        groups = np.array([codes[group_of(by_id[row["item_id"]])] for row, _ in both])
        found = accuracy_interval(differ, groups) if len(differ) else None
        span = f"{differ.mean():.1%} ({found.low:.1%} to {found.high:.1%}) of {len(differ)}" if found else "–"
        unread = sum(letter is None for letter in letters)
        bounds = f"{right / len(own):.1%} to {(right + unread) / len(own):.1%}"
        probed = sum(row["probe"] is not None for row in own)
        print(f"| {engine} | {setting} | {len(own)} | {probed} | {span} | {unread} | {bounds} |", flush=True)


if __name__ == "__main__":
    main()
