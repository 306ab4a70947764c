"""Power of the whole gate and how often it is fooled, by simulation; writes docs/gate-power.md.

`make bench` runs it with 200 pairs a cell (about four minutes of one core); `--pairs N` takes more or fewer, `--out F`
another file. Figures are shares of promoted candidates; asserts nothing.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from components.scoring.gate.rules import Rules  # noqa: E402
from tests.scoring.gate_simulation import Truth, alike, published_size, quick  # noqa: E402

SIZES = (300, 1500, 7039, 12_609)
LOOKS = (1, 4, 26)
DISCORDANT = (0.10, 0.25)
TRUTHS = {
    "+2 everywhere": Truth(0.02, 0.02, 0.02, 0.02),
    "+3 everywhere": Truth(0.03, 0.03, 0.03, 0.03),
    "+5 everywhere": Truth(0.05, 0.05, 0.05, 0.05),
    "+3 reasoning only": Truth(0.03, 0.0, 0.03, 0.0),
}
FOOLED = {
    "no difference": Truth(),
    "reasoning +5, knowledge at the margin": Truth(0.05, -Rules().margin, 0.05, 0.05),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=200, help="simulated pairs of models in each cell")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "gate-power.md")
    options = parser.parse_args()
    began = time.perf_counter()
    lines = table(options.pairs)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    print(f"{time.perf_counter() - began:.0f} s; written to {options.out}")


def table(pairs: int) -> list[str]:
    rules = Rules()
    head = ["Questions", "Answers that differ", "Truth", *(f"Look {look}" for look in LOOKS)]
    text = (
        f"Share of {pairs} simulated candidates that the whole gate promotes, all rules at their defaults (alpha "
        f"{rules.alpha:g}, margin {points(rules.margin)}, benchmark margin {points(rules.benchmark_margin)}). The "
        "schedule is the harmonic one; in the last column equal shares over 52 looks. One third of the questions is "
        "reasoning, benchmarks have the published proportions, each question is its own group, and the two models of "
        "a pair differ in the given share of their answers. A share near one half is known to about "
        f"{points(0.5 / pairs**0.5)} (one standard error). Under the last two truths nothing may be promoted: "
        f"there the level at look 1 is {100 * rules.level:g} %, and a share is known to about "
        f"{points((rules.level * (1 - rules.level) / pairs) ** 0.5)}. Made by `tests/bench/bench_gate.py`; `make "
        "bench` writes it anew."
    )
    lines = [
        "# Power of the gate",
        "",
        *textwrap.wrap(text, 120),
        "",
        f"| {' | '.join(head)} | Look 26 of 52, equal shares |",
        f"|---:|---:|---|{'---:|' * (len(LOOKS) + 1)}",
    ]
    for name, truth in {**TRUTHS, **FOOLED}.items():
        for size in SIZES:
            for discordant in DISCORDANT:
                shares = " | ".join(f"{100 * share:.0f} %" for share in promoted(size, truth, discordant, pairs))
                lines.append(f"| {size:,} | {100 * discordant:.0f} % | {name} | {shares} |")
                print(lines[-1], file=sys.stderr, flush=True)
    return lines


def points(fraction: float) -> str:
    return f"{100 * fraction:.2g} points"


def promoted(size: int, truth: Truth, discordant: float, pairs: int) -> list[float]:
    """Share promoted under each of the looks; stricter levels first, since what they promote the others do too."""
    levels = [*(Rules(look=look) for look in LOOKS), Rules(look=26, schedule="horizon", horizon=52)]
    strict_first = sorted(range(len(levels)), key=lambda k: levels[k].level)
    counts = np.zeros(len(levels))
    rng, items = np.random.default_rng((1, size)), published_size(size)
    for _ in range(pairs):
        sides = alike(rng, items, truth, discordant)
        for place, k in enumerate(strict_first):
            if quick(items, *sides, levels[k]):
                counts[strict_first[place:]] += 1
                break
    return list(counts / pairs)


if __name__ == "__main__":
    main()
