"""Evaluate: one model answers every question, plainly and after adversarial openings."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from components.engines.answers import Answers, answer_row, ask, setting_counts
from components.engines.base import Engine, Request, Sampling
from components.engines.probe import PROBE_VERSION, probe
from components.engines.start import EngineConfig, start_engine
from components.errors import InputError, StageError
from components.extraction import EXTRACTION_VERSION
from components.platform.lineage import code_digest
from components.platform.storage.journal import Journal
from components.platform.tables import read_items, write_rows
from components.questions.askings import OPENED, PLAIN, SETTINGS, Asking, Setting, askings, left_out, opening_column
from components.questions.items import Item, items_digest
from components.questions.prompts import PROMPTS, build_messages, prompt_version
from components.questions.sampling import sample

SCHEMA_VERSION = "1"


def expand_settings(value: Any) -> Any:
    """Settings as a tuple of names, from a text with commas or a list, `adversarial` being all three."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        return value  # pydantic says what is wrong
    stripped = [name.strip() if isinstance(name, str) else name for name in names]
    parts = [OPENED if name == "adversarial" else (name,) for name in stripped if name != ""]
    return tuple(name for part in parts for name in part)


Settings = Annotated[tuple[Setting, ...], BeforeValidator(expand_settings)]


class EvaluateConfig(EngineConfig):
    """Recipe part of the evaluate stage; which engine answers is inherited."""

    settings: Settings = Field(SETTINGS, min_length=1, description="conditions: plain, adversarial_0 to _2")
    prompt: str = Field("direct", description="style of components/questions/prompts.py")
    max_new_tokens: int = Field(64, ge=1, description="an answer is cut there, and counted as truncated")
    temperature: float = Field(0.0, ge=0, description="0: the likeliest token, always")
    top_p: float = Field(1.0, gt=0, le=1)
    samples: int = Field(1, ge=1, description="answers to each question and setting; more than one: temperature > 0")
    permute_options: bool = Field(False, description="ask each question again with its options in another order")
    seed: int = Field(0, ge=0, description="of sampled answers, of option orders, and of the sample that `limit` takes")
    limit: int | None = Field(None, ge=1, description="a seeded sample of the questions; null: all")
    probe_percent: float = Field(
        5.0, ge=0, le=100, description="share of the answers asked once more for the letter alone, to check extraction"
    )

    @field_validator("prompt")
    @classmethod
    def _known_prompt(cls, value: str) -> str:
        if value not in PROMPTS:
            raise ValueError(f"is not one of {', '.join(PROMPTS)}")
        return value

    @field_validator("settings")
    @classmethod
    def _settings_once(cls, value: tuple[Setting, ...]) -> tuple[Setting, ...]:
        if len(set(value)) != len(value):
            raise ValueError("names a setting twice")
        return value

    @model_validator(mode="after")
    def _samples_differ(self) -> EvaluateConfig:
        # An endpoint that keeps its own sampling may have any temperature.
        if self.samples > 1 and self.temperature == 0 and self.send_sampling:
            raise ValueError(
                f"samples: {self.samples} answers at temperature 0 are the same answer {self.samples} times; set a "
                "temperature above 0 (for example 0.7), or samples to 1"
            )
        return self


def evaluate(
    items: Path, model: str, name: str, config: EvaluateConfig, out: Path, journal: str | None = None
) -> dict[str, Any]:
    """Ask `model` (a reference) every item of the file in every setting and write the answers table `out`.

    `name` stands in the table's `model` column. Answers are kept below `journal` (s3://... or a folder) as they come,
    and those that are there already are not asked again; its URI is in the evidence, for whoever stores the table to
    delete. Returns the evidence. Raises InputError for an item without the opening a setting needs, and StageError
    when an answer is missing in the end.
    """
    started = time.monotonic()
    questions = sample(read_items(items), config.limit, config.seed)
    asked = askings(questions, config.settings, config.samples, config.permute_options, config.seed)
    requests = [make_request(asking, config) for asking in asked]
    begun = time.monotonic()
    engine, weights = start_engine(model, config, len(requests) * config.max_new_tokens)
    try:
        seconds = {"load": time.monotonic() - begun}
        metadata = answers_metadata(engine, config, questions, model, weights)
        kept = _journal(engine, metadata, config, journal)
        begun = time.monotonic()
        answers = ask(engine, requests, Sampling(config.max_new_tokens, config.temperature, config.top_p), kept)
        seconds["generation"] = time.monotonic() - begun
        if all(answer.finish_reason == "too_long" for answer in answers.generations):
            raise StageError(f"none of {len(questions)} questions fits the context with its answer: max_new_tokens")
        begun = time.monotonic()
        letters = [tuple(asking.item.options) for asking in asked]
        probed, unasked = probe(engine, requests, answers.generations, letters, config.probe_percent, config.seed)
        seconds["probe"] = time.monotonic() - begun
        rows = [
            answer_row(asking, request, answer, name, engine.prefill_mode, letter)
            for asking, request, answer, letter in zip(asked, requests, answers.generations, probed, strict=True)
        ]
        # No part of what answers are kept by: a run that a long question stopped goes on when it may be counted.
        counted = {} if config.too_long == "stop" else {"too_long": config.too_long}
        probed_by = {"probe": unasked or f"{config.probe_percent:g} %, {PROBE_VERSION}"}
        write_rows(rows, out, {**metadata, **probed_by, **counted, **_repeated(config)})
        seconds["total"] = time.monotonic() - started
        evidence = _evidence(rows, len(questions), answers, metadata, seconds)
        if config.permute_options:
            again = {"permuted": sum(1 for asking in asked if asking.order)}
            again |= left_out(questions, config.settings, asked)
            evidence = {**evidence, **again, "metrics": {**evidence["metrics"], **again}}
        return {**evidence, **engine.notes, **({"journal": kept.uri} if kept else {})}
    finally:
        engine.close()


def make_request(asking: Asking, config: EvaluateConfig) -> Request:
    item, setting, opening = asking.item, asking.setting, asking.prefill
    if setting != PLAIN and not opening:
        raise InputError(
            f"item {item.id}: {opening_column(setting)}: missing, and setting {setting} needs it; "
            "run `biomed-r1 ingest`, which makes openings, or leave the setting out"
        )
    return Request(
        id=asking.name,
        messages=tuple((m["role"], m["content"]) for m in build_messages(asking.shown(), config.prompt)),
        opening=opening or "",
        seed=asking.seed(config.seed),
    )


def _journal(engine: Engine, metadata: Mapping[str, str], config: EvaluateConfig, uri: str | None) -> Journal | None:
    """Answers that may be taken over: of the same questions, weights, engine and its code, prompt and decoding."""
    code = code_digest(type(engine).__module__)
    parts = [sorted(metadata.items()), code, config.settings, config.batch_size, config.max_context]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return Journal(uri, key) if uri else None


def _repeated(config: EvaluateConfig) -> dict[str, str]:
    """What the answers file says of samples and orders, where there is more than one.

    No part of what answers are kept by, which is each request's own: more samples ask only for the further ones.
    """
    found = {"samples": str(config.samples)} if config.samples > 1 else {}
    return found | ({"permuted_options": f"seed {config.seed}"} if config.permute_options else {})


def answers_metadata(
    engine: Engine, config: EvaluateConfig, questions: Sequence[Item], model: str, weights: str
) -> dict[str, str]:
    """What an answer file says of itself: everything that could change a row."""
    greedy = config.temperature == 0
    decoding: dict[str, Any] = {"max_new_tokens": config.max_new_tokens, "temperature": config.temperature}
    if not greedy:
        decoding |= {"top_p": config.top_p, "seed": config.seed}
    if engine.name == "openai" and not config.send_sampling:
        decoding = {"max_new_tokens": config.max_new_tokens, "sampling": "the endpoint's own"}
    if engine.name == "openai" and config.extra_body:
        decoding["extra_body"] = config.extra_body
    given = config.chat_template
    return {
        **({"chat_template": f"given, sha256 {hashlib.sha256(given.encode()).hexdigest()}"} if given else {}),
        "schema_version": SCHEMA_VERSION,
        "engine": engine.version,
        "prompt": prompt_version(config.prompt),
        "decoding": json.dumps(decoding, sort_keys=True),
        "extraction": EXTRACTION_VERSION,
        "items_digest": items_digest(questions),
        "model_reference": model,
        "weights_sha256": weights,
    }


def _evidence(
    rows: list[dict[str, Any]], items: int, answers: Answers, metadata: Mapping[str, str], seconds: dict[str, float]
) -> dict[str, Any]:
    # As scores count: in the original order of the options.
    first = [row for row in rows if row["order"] is None]
    settings = setting_counts(first, list(dict.fromkeys(row["setting"] for row in first)))
    counts = {
        "rows_in": items,
        "rows_out": len(rows),
        "asked": answers.asked,
        "resumed": answers.resumed,
        **{name: sum(s[name] for s in settings.values()) for name in ("truncated", "no_answer", "too_long")},
        **{name: sum(row[name] for row in rows) for name in ("prompt_tokens", "output_tokens")},
        "tokens_per_second": answers.tokens_now / max(seconds["generation"], 1e-9),
    }
    return {
        **counts,
        "settings": settings,
        "seconds": seconds,
        **{name: metadata[name] for name in ("engine", "prompt", "weights_sha256")},
        "metrics": {
            **counts,
            **{f"accuracy_{setting}": s["accuracy"] for setting, s in settings.items()},
            **{f"seconds_{part}": value for part, value in seconds.items()},
        },
    }
