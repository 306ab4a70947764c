"""Evaluate: one model answers every question, plainly and after adversarial openings."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import click
from pydantic import BaseModel, ConfigDict, Field, field_validator

from components.engines.base import Engine, Generation, Request, Sampling
from components.errors import InputError, StageError
from components.platform.models import local_model, weights_digest
from components.platform.progress import progress
from components.platform.tables import read_items, write_rows
from components.platform.verbs import config_options, parse_config, write_json
from components.qa.extraction import EXTRACTION_VERSION, extract
from components.qa.items import OPENINGS, Item
from components.qa.prompts import PROMPTS, build_messages, prompt_version
from components.qa.sampling import sample

SCHEMA_VERSION = "1"
Setting = Literal["plain", "adversarial_0", "adversarial_1", "adversarial_2"]
SETTINGS: tuple[Setting, ...] = ("plain", "adversarial_0", "adversarial_1", "adversarial_2")


class EvaluateConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: tuple[Setting, ...] = Field(SETTINGS, min_length=1, description="which openings the model gets")
    prompt: str = Field("direct", description="style of components/qa/prompts.py")
    max_new_tokens: int = Field(64, ge=1, description="an answer is cut there, and counted as truncated")
    temperature: float = Field(0.0, ge=0, description="0: the likeliest token, always")
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int = Field(0, ge=0, description="of sampled answers, and of the sample that `limit` takes")
    engine: Literal["auto", "vllm", "transformers"] = Field("auto", description="auto: done first, by measured speeds")
    dtype: Literal["auto", "bfloat16", "float32"] = Field("auto", description="auto: bfloat16 where hardware has it")
    batch_size: int = Field(64, ge=1, description="answers written together (transformers)")
    max_context: int = Field(8192, ge=1, description="tokens of prompt and answer, at most; the model's own if less")
    limit: int | None = Field(None, ge=1, description="a seeded sample of the questions; null: all")

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


def evaluate(items: Path, model: str, name: str, config: EvaluateConfig, out: Path) -> dict[str, Any]:
    """Ask `model` (a reference) every item of the file in every setting and write the answers table `out`.

    `name` stands in the table's `model` column. Returns the evidence. Raises InputError for an item without the
    opening a setting needs, and StageError when an answer is missing in the end.
    """
    started = time.monotonic()
    questions = sample(read_items(items), config.limit, config.seed)
    asked = [(item, setting) for item in questions for setting in config.settings]
    requests = [make_request(item, setting, config) for item, setting in asked]
    folder = local_model(model)
    engine, load_seconds = _load(folder, config, len(requests))
    try:
        begun = time.monotonic()
        answers = _generate(engine, requests, config)
        generation_seconds = time.monotonic() - begun
        rows = [
            _row(item, setting, request, answer, name, engine.prefill_mode)
            for (item, setting), request, answer in zip(asked, requests, answers, strict=True)
        ]
        weights = weights_digest(folder)
        write_rows(rows, out, _metadata(engine, config, questions, model, weights))
        seconds = {"load": load_seconds, "generation": generation_seconds, "total": time.monotonic() - started}
        return _evidence(rows, len(questions), config, engine, weights, seconds)
    finally:
        engine.close()


def items_digest(items: Sequence[Item]) -> str:
    """sha256 of what an evaluation asks and how it is marked, in order; strata and other notes do not count."""
    digest = hashlib.sha256()
    for item in items:
        openings = [item.opening(k) for k in range(len(OPENINGS))]
        fields = [item.id, item.question, item.context, item.options, item.answer_idx, *openings]
        digest.update(json.dumps(fields, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def make_request(item: Item, setting: Setting, config: EvaluateConfig) -> Request:
    opening = None if setting == "plain" else item.opening(SETTINGS.index(setting) - 1)
    if setting != "plain" and not opening:
        raise InputError(
            f"item {item.id}: {OPENINGS[SETTINGS.index(setting) - 1]}: missing, and setting {setting} needs it; "
            "run `biomed-r1 ingest`, which makes openings, or leave the setting out"
        )
    seed = hashlib.sha256(f"{config.seed}|{item.id}|{setting}".encode()).digest()
    return Request(
        id=f"item {item.id} ({setting})",
        messages=tuple((m["role"], m["content"]) for m in build_messages(item, config.prompt)),
        opening=opening or "",
        seed=int.from_bytes(seed[:4], "big"),
    )


def _load(folder: Path, config: EvaluateConfig, count: int) -> tuple[Engine, float]:
    from components.engines.choice import choose_engine, load_engine, resolve_dtype

    begun = time.monotonic()
    chosen = choose_engine(config.engine, folder, count * config.max_new_tokens)
    engine = load_engine(chosen, folder, resolve_dtype(config.dtype), config.batch_size, config.max_context)
    return engine, time.monotonic() - begun


def _generate(engine: Engine, requests: list[Request], config: EvaluateConfig) -> list[Generation]:
    sampling = Sampling(config.max_new_tokens, config.temperature, config.top_p)
    answers: dict[int, Generation] = {}
    for index, answer in progress(engine.generate(requests, sampling), "answers", len(requests)):
        if index in answers:
            raise StageError(f"{requests[index].id}: answered twice by {engine.name}")
        answers[index] = answer
    missing = [request.id for index, request in enumerate(requests) if index not in answers]
    if missing:
        raise StageError(f"{len(missing)} of {len(requests)} answers are missing, the first for {missing[0]}")
    return [answers[index] for index in range(len(requests))]


def _row(
    item: Item, setting: str, request: Request, answer: Generation, name: str, prefill_mode: str
) -> dict[str, Any]:
    letter = extract(answer.text, item.options)
    return {
        "item_id": item.id,
        "model": name,
        "setting": setting,
        "output": answer.text,
        "prefill": request.opening,
        "prefill_mode": prefill_mode,
        "extracted": letter,
        "correct": letter == item.answer_idx,
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "output_tokens": answer.output_tokens,
    }


def _metadata(
    engine: Engine, config: EvaluateConfig, questions: Sequence[Item], model: str, weights: str
) -> dict[str, str]:
    """Everything besides the weights that could change a row."""
    greedy = config.temperature == 0
    decoding: dict[str, Any] = {"max_new_tokens": config.max_new_tokens, "temperature": config.temperature}
    if not greedy:
        decoding |= {"top_p": config.top_p, "seed": config.seed}
    return {
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
    rows: list[dict[str, Any]],
    items: int,
    config: EvaluateConfig,
    engine: Engine,
    weights: str,
    seconds: dict[str, float],
) -> dict[str, Any]:
    per_setting = {}
    for setting in config.settings:
        mine = [row for row in rows if row["setting"] == setting]
        per_setting[setting] = {
            "n": len(mine),
            "correct": sum(row["correct"] for row in mine),
            "accuracy": sum(row["correct"] for row in mine) / len(mine),
            "no_answer": sum(row["extracted"] is None for row in mine),
            "truncated": sum(row["finish_reason"] == "length" for row in mine),
        }
    totals: Counter[str] = Counter()
    for row in rows:
        totals.update({"prompt_tokens": row["prompt_tokens"], "output_tokens": row["output_tokens"]})
    counts = {
        "truncated": sum(s["truncated"] for s in per_setting.values()),
        "no_answer": sum(s["no_answer"] for s in per_setting.values()),
        **totals,
        "tokens_per_second": totals["output_tokens"] / max(seconds["generation"], 1e-9),
    }
    return {
        "rows_in": items,
        "rows_out": len(rows),
        "settings": per_setting,
        **counts,
        "seconds": seconds,
        "engine": engine.version,
        "prompt": prompt_version(config.prompt),
        "weights_sha256": weights,
        "metrics": {
            "rows_in": items,
            "rows_out": len(rows),
            **counts,
            **{f"accuracy_{setting}": s["accuracy"] for setting, s in per_setting.items()},
            **{f"seconds_{part}": value for part, value in seconds.items()},
        },
    }


@click.command("evaluate")
@click.option("--model", required=True, help="Model reference.")
@click.option("--items", required=True, type=click.Path(dir_okay=False), help="Questions (Parquet or JSONL).")
@click.option("--out", required=True, type=click.Path(file_okay=False), help="Folder for answers.parquet.")
@click.option("--name", help="What to call the model in the answers [default: the reference].")
@click.option("--settings", help=f"Comma-separated, of {', '.join(SETTINGS)} [default: all].")
@click.option("--engine", type=click.Choice(["auto", "vllm", "transformers"]), help="[default: auto]")
@click.option("--limit", type=click.IntRange(min=1), help="Ask a seeded sample of this many questions.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False), help="Write the evidence here.")
@config_options(EvaluateConfig)
def command(
    model: str,
    items: str,
    out: str,
    name: str | None,
    settings: str | None,
    engine: str | None,
    limit: int | None,
    json_file: str | None,
    config: EvaluateConfig,
) -> None:
    """Ask a model every question, plainly and after adversarial openings."""
    given = {"settings": settings and tuple(settings.split(",")), "engine": engine, "limit": limit}
    changed = {**config.model_dump(), **{key: value for key, value in given.items() if value}}
    config = parse_config(EvaluateConfig, changed, "evaluate")
    answers = Path(out) / "answers.parquet"
    answers.parent.mkdir(parents=True, exist_ok=True)
    evidence = evaluate(Path(items), model, name or model, config, answers)
    write_json(json_file, evidence)
    for setting, cell in evidence["settings"].items():
        click.echo(
            f"{setting}: {cell['correct']} of {cell['n']} right ({cell['accuracy']:.1%}), "
            f"{cell['no_answer']} without an answer, {cell['truncated']} cut off"
        )
    click.echo(
        f"{evidence['output_tokens']} tokens in {evidence['seconds']['generation']:.0f} s with {evidence['engine']}; "
        f"answers in {answers}"
    )
