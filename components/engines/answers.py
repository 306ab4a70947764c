"""From requests to the rows of an answers table: asked once, kept as they come, marked, counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from components.engines.base import Engine, Generation, Request, Sampling
from components.errors import StageError
from components.platform.progress import progress
from components.platform.storage.journal import Journal
from components.questions.askings import Asking
from components.questions.orders import original_letter, read_in_order


@dataclass(frozen=True)
class Answers:
    """One answer per request, in their order; `resumed` of them were in the journal, the others were asked now."""

    generations: list[Generation]
    resumed: int
    tokens_now: int

    @property
    def asked(self) -> int:
        return len(self.generations) - self.resumed


def ask(
    engine: Engine, requests: Sequence[Request], sampling: Sampling, journal: Journal | None, label: str = "answers"
) -> Answers:
    """Let the engine answer every request that the journal has no answer to.

    Raises StageError when an answer is missing in the end; what was answered until then stays in the journal.
    """
    kept = journal.read() if journal else {}
    answers = {n: Generation(**kept[request.id]) for n, request in enumerate(requests) if request.id in kept}
    resumed = len(answers)
    todo = [n for n in range(len(requests)) if n not in answers]
    asked = engine.generate([requests[n] for n in todo], sampling)
    tokens = 0
    try:
        for place, answer in _shown(asked, label, resumed, len(requests)):
            n = todo[place]
            if n in answers:
                raise StageError(f"{requests[n].id}: answered twice by {engine.name}")
            answers[n] = answer
            tokens += answer.output_tokens
            # What was too long is looked at again: the limit, or what becomes of it, may be another then.
            if journal and answer.finish_reason != "too_long":
                journal.add(requests[n].id, asdict(answer))
    except StageError as error:
        again = f" and kept in {journal.uri}; the same command asks only the others" if journal and answers else ""
        raise StageError(f"{error}. {len(answers)} of {len(requests)} are answered{again}") from None
    finally:
        if journal:
            journal.close()
    missing = [request.id for n, request in enumerate(requests) if n not in answers]
    if missing:
        raise StageError(f"{len(missing)} of {len(requests)} answers are missing, the first for {missing[0]}")
    return Answers([answers[n] for n in range(len(requests))], resumed, tokens)


def _shown(
    answers: Iterator[tuple[int, Generation]], label: str, resumed: int, total: int
) -> Iterator[tuple[int, Generation]]:
    return progress(answers, f"{label} ({resumed} more from the journal)" if resumed else label, total - resumed)


def answer_row(
    asking: Asking, request: Request, answer: Generation, name: str, prefill_mode: str, probe: str | None
) -> dict[str, Any]:
    """One row of the answers table (design.md, section 4).

    Where the options were shown in another `order`, `output`, `prefill` and `read_by` are as they were said and read;
    `extracted` and `probe` are the original letters.
    """
    item = asking.item
    reading = read_in_order(answer.text, item, asking.order)
    if probe is not None and asking.order is not None:
        probe = original_letter(item.options, asking.order, probe)
    return {
        "item_id": item.id,
        "model": name,
        "setting": asking.setting,
        "sample": asking.sample,
        "order": asking.order,
        "output": answer.text,
        "prefill": request.opening,
        "prefill_mode": prefill_mode,
        "extracted": reading.letter,
        "read_by": reading.read_by,
        "correct": reading.letter == item.answer_idx,
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "output_tokens": answer.output_tokens,
        "reported_model": answer.reported_model,
        "probe": probe,
    }


def setting_counts(rows: Sequence[dict[str, Any]], settings: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Per setting: n answers, correct, accuracy, no_answer, truncated, too_long (not asked, part of no_answer)."""
    counts = {}
    for setting in settings:
        mine = [row for row in rows if row["setting"] == setting]
        counts[setting] = {
            "n": len(mine),
            "correct": sum(row["correct"] for row in mine),
            "accuracy": sum(row["correct"] for row in mine) / len(mine),
            "no_answer": sum(row["extracted"] is None for row in mine),
            "truncated": sum(row["finish_reason"] == "length" for row in mine),
            "too_long": sum(row["finish_reason"] == "too_long" for row in mine),
        }
    return counts
