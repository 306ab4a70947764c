"""Openings: a model writes three wrong beginnings of an answer per question; templates stand in where it fails."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from components.engines import answers
from components.engines.base import Engine, Request, Sampling
from components.engines.start import EngineConfig, start_engine
from components.platform.lineage import code_digest
from components.platform.storage.journal import Journal
from components.platform.tables import read_items, write_items
from components.questions.items import OPENINGS, Item, items_digest
from components.questions.prefills.prompt import opening_messages, opening_prompt_version
from components.questions.prefills.rule import RULE_VERSION, judge, written_opening
from components.questions.prefills.templates import OPENINGS_VERSION, make_openings, usable_wrong_letters
from components.questions.sampling import sample


class OpeningsConfig(EngineConfig):
    """How openings are written. The published generator is not known: these are our choices."""

    tries: int = Field(4, ge=1, le=20, description="how often a prefill is asked for before a template is used")
    temperature: float = Field(0.7, gt=0, description="above 0: asking again has to give something else")
    top_p: float = Field(0.95, gt=0, le=1)
    max_new_tokens: int = Field(64, ge=8, description="a prefill that is cut off there is not used")
    seed: int = Field(0, ge=0, description="of the texts, the templates and the sample that `limit` takes")
    limit: int | None = Field(None, ge=1, description="a seeded sample of the questions; null: all")


@dataclass
class Slot:
    """One of an item's three openings while it is being written; `attempt` counts from 1, 0 for a template."""

    item: Item
    place: int
    text: str | None = None
    letter: str | None = None
    attempt: int = 0
    refused: list[str] = field(default_factory=list)  # why each earlier text was not used


Draft = list[Slot]  # the three slots of one item


def openings(items: Path, model: str, config: OpeningsConfig, out: Path, journal: str | None = None) -> dict[str, Any]:
    """Write the items of a file to `out` with three openings each by `model` (a reference); returns the evidence.

    Openings that the items have already are replaced. Texts are kept below `journal` (s3://... or a folder) as they
    come, and those that are there already are not asked for again. Raises InputError for an item that no opening can
    suit, and StageError when a text is missing in the end.
    """
    questions = sample(read_items(items), config.limit, config.seed)
    for item in questions:
        make_openings(item, config.seed, "evaluation")  # one that no opening suits must not wait for the model
    drafts = [[Slot(item, place) for place in range(len(OPENINGS))] for item in questions]
    most = len(OPENINGS) * len(drafts) * config.max_new_tokens
    engine, weights = start_engine(model, config, most)
    written = {
        "model": model,
        "weights_sha256": weights,
        "engine": engine.version,
        "prompt": opening_prompt_version(),
        "rule": RULE_VERSION,
        "templates": OPENINGS_VERSION,
    }
    try:
        kept = Journal(journal, _identity(engine, config, questions, written)) if journal else None
        for attempt in range(1, config.tries + 1):
            ask(engine, drafts, attempt, config, kept)
    finally:
        engine.close()
    for draft in drafts:
        fill_with_templates(draft, config.seed)
    write_items([_finished(draft, written) for draft in drafts], out)
    return {**_evidence([slot for draft in drafts for slot in draft], config, written), **engine.notes}


def _identity(engine: Engine, config: OpeningsConfig, questions: Sequence[Item], written: dict[str, str]) -> str:
    """What texts may be taken over: of the same questions, weights, engine and its code, prompt, rule and decoding."""
    names = {"temperature", "top_p", "max_new_tokens", "seed"}
    names |= {"batch_size", "max_context", "send_sampling", "extra_body"}
    parts = [sorted(written.items()), code_digest(type(engine).__module__), config.model_dump(include=names)]
    return hashlib.sha256(json.dumps([*parts, items_digest(questions)], sort_keys=True).encode()).hexdigest()


def ask(
    engine: Engine, drafts: Sequence[Draft], attempt: int, config: OpeningsConfig, journal: Journal | None = None
) -> None:
    """Ask once for every opening that is still missing and keep what the rule accepts, in place."""
    missing = [(slot, draft) for draft in drafts for slot in draft if slot.text is None]
    if not missing:
        return
    requests = [_request(slot, draft, attempt, config.seed) for slot, draft in missing]
    sampling = Sampling(config.max_new_tokens, config.temperature, config.top_p)
    texts = answers.ask(engine, requests, sampling, journal, f"openings, attempt {attempt}").generations
    # In file order: which of two openings that name the same option stays must not depend on which was done first.
    for (slot, draft), answer in zip(missing, texts, strict=True):
        text = written_opening(answer.text)
        verdict = judge(text, slot.item)
        if answer.finish_reason == "length":
            slot.refused.append("cut off")
        elif verdict.letter is None:
            slot.refused.append(verdict.reason)
        elif verdict.letter not in _free(draft):
            slot.refused.append("names an option that another opening names")
        else:
            slot.text, slot.letter, slot.attempt = text, verdict.letter, attempt


def fill_with_templates(draft: Draft, seed: int) -> None:
    """A template of the evaluation half for every opening still missing, in place, options not yet named first."""
    taken = {slot.letter for slot in draft if slot.letter}
    made = iter(make_openings(draft[0].item, seed, "evaluation", avoid=taken))
    for slot in draft:
        if slot.text is None:
            slot.text = next(made)


def _free(draft: Draft) -> list[str]:
    """Wrong options no opening of the item names yet; all of them again when each is named."""
    usable = usable_wrong_letters(draft[0].item)
    taken = {slot.letter for slot in draft}
    return [letter for letter in usable if letter not in taken] or usable


def _request(slot: Slot, draft: Draft, attempt: int, seed: int) -> Request:
    """Asks in other words at every attempt, for another option where there is one, and with another seed."""
    free = _free(draft)
    name = f"{seed}|{slot.item.id}|{slot.place}|{attempt}"
    return Request(
        id=f"item {slot.item.id} (opening {slot.place}, attempt {attempt})",
        messages=opening_messages(slot.item, free[(slot.place + attempt - 1) % len(free)], slot.place, attempt),
        seed=int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big"),
    )


def _finished(draft: Draft, written: dict[str, str]) -> Item:
    by = ["model" if slot.attempt else "template" for slot in draft]
    source = by[0] if len(set(by)) == 1 else "model and template"
    texts = {name: slot.text for name, slot in zip(OPENINGS, draft, strict=True)}
    item = draft[0].item
    return item.with_(**texts, meta={**item.meta, "trace_source": source, "openings": {"by": by, **written}})


def _evidence(slots: Sequence[Slot], config: OpeningsConfig, written: dict[str, str]) -> dict[str, Any]:
    accepted = Counter(slot.attempt for slot in slots)
    templated = accepted.pop(0, 0)
    counts = {
        "openings": len(slots),
        "accepted_first": accepted[1],
        "accepted_after_retries": len(slots) - templated - accepted[1],
        "templated": templated,
    }
    rates = {
        "acceptance_rate_first": accepted[1] / len(slots),
        "acceptance_rate": (len(slots) - templated) / len(slots),
        "texts_asked": sum(len(slot.refused) for slot in slots) + len(slots) - templated,
    }
    return {
        "rows_in": len(slots) // len(OPENINGS),
        "rows_out": len(slots) // len(OPENINGS),
        **counts,
        **rates,
        "accepted_by_attempt": {str(n): accepted[n] for n in range(1, config.tries + 1)},
        "refused": dict(Counter(reason for slot in slots for reason in slot.refused).most_common()),
        **written,
        "metrics": {**counts, **rates},
    }
