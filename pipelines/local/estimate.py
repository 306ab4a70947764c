"""How long a run takes: from what its tasks took in earlier runs on this machine, else from times that ship here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.platform import events

# Seconds of each task with the start of its process, on 2 cores (2026-11-27, from an empty store): `biomed-r1 run
# --recipe NAME`, and the differences between the times in the run's events.
SHIPPED: Mapping[str, Mapping[str, float]] = {
    "demo": {
        "ingest": 6, "classify": 47, "stratify": 5, "curate": 8, "sft": 81, "evaluate-sft": 54, "grpo": 75,
        "evaluate-grpo": 49, "evaluate-base": 33, "evaluate-champion": 3, "compare": 3, "register": 2, "report": 2,
        "promote": 2,
    },
    "models-demo": {
        "ingest": 6, "classify": 17, "stratify": 8, "evaluate-SmolLM2-direct-1of2": 87,
        "evaluate-SmolLM2-direct-2of2": 64, "evaluate-SmolLM2-stepwise-1of2": 52, "evaluate-SmolLM2-stepwise-2of2": 65,
        "merge": 6, "score": 14, "report": 21,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """Seconds by task, and where they are from, in words; no seconds where nothing is known."""

    seconds: Mapping[str, float]
    source: str

    def left(self, unfinished: Sequence[str], current: str = "", since: float = 0.0) -> float | None:
        """Seconds until the last of `unfinished` ends, of which `current` has run for `since`; None: not known."""
        if any(task not in self.seconds for task in unfinished):
            return None
        done = min(since, self.seconds[current]) if current in unfinished else 0.0
        return sum(self.seconds[task] for task in unfinished) - done


def estimate(recipe: str, tasks: Sequence[str], runs: Path) -> Estimate:
    """What the tasks of a run took when they last did their work; `runs` holds the folders of this machine's runs."""
    found: dict[str, float] = {}
    folders = sorted(runs.glob("*/recipe.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in folders:
        if json.loads(path.read_text(encoding="utf-8")).get("name") == recipe:
            found = {**dict(_spans(path.parent)), **found}
    here = {task: found[task] for task in tasks if task in found}
    shipped = {task: SHIPPED.get(recipe, {})[task] for task in tasks if task in SHIPPED.get(recipe, {})}
    if set(here) >= set(tasks):
        return Estimate(here, f"by earlier runs of {recipe} on this machine")
    if set(here) | set(shipped) >= set(tasks):
        also = "earlier runs on this machine and " if here else ""
        return Estimate({**shipped, **here}, f"by {also}times measured on 2 cores")
    return Estimate({}, "")


def in_words(seconds: float) -> str:
    """A time for people: 40 s, 7 min, 3.5 h."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _spans(folder: Path) -> Iterator[tuple[str, float]]:
    """(task, seconds from the end of the one before it to its own end) of the tasks of a run that did their work."""
    before = None
    for event in events.read(folder):
        before = event["time"] if before is None else before
        if event["state"] == "finished":
            if not event.get("reused"):
                yield event["task"], event["time"] - before
            before = event["time"]
