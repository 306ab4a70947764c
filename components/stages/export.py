"""Export: the stratified questions for lm-evaluation-harness, inspect_ai or verifiers, or as published Parquet."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from components.errors import InputError
from components.exports import lm_eval_tasks
from components.exports.folders import write_folder
from components.extraction import EXTRACTION_VERSION
from components.platform.tables import write_items
from components.questions.askings import PLAIN, Asking, Setting, opening_column
from components.questions.items import OPENINGS, STRATUM_COLUMNS, Item, items_digest
from components.questions.prompts import PROMPTS, build_messages, prompt_version

# The columns of zou-lab/BioMed-R1-Eval, in its order (its data card).
PUBLISHED_COLUMNS = ("id", "question", "answer", "options", "answer_idx", "dataset_name", *OPENINGS, *STRATUM_COLUMNS)
# As the published set names its files: one configuration a benchmark, split `test`.
PARQUET_NAME = "test-00000-of-00001.parquet"
CARD = "README.md"
GROUP = "biomed_r1"


class ExportConfig(BaseModel):
    """How exported tasks ask; the Parquet export reads none of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str = Field("direct", description="style of components/questions/prompts.py")
    settings: tuple[Setting, ...] = Field(
        (PLAIN,), min_length=1, description="conditions: plain, adversarial_0 to _2; lm-eval: one task each"
    )
    max_new_tokens: int = Field(64, ge=1, description="an answer is cut there; as in `evaluate`")

    @field_validator("prompt")
    @classmethod
    def _known_prompt(cls, value: str) -> str:
        if value not in PROMPTS:
            raise ValueError(f"is not one of {', '.join(PROMPTS)}")
        return value


def export_lm_eval(items: Sequence[Item], config: ExportConfig, out: Path) -> dict[str, Any]:
    """Write a task per stratum, benchmark and setting to `out` (YAML and JSONL), and groups over them.

    Answers are greedy and marked by our extraction. Needs `lm_eval ... --include_path OUT --apply_chat_template`.
    Raises InputError for an item without the opening a setting needs, and for benchmarks whose files would have one
    name.
    """
    _check_names(items, config.settings)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(str(lm_eval_tasks.__file__), out / "biomed_r1_tasks.py")
    groups: dict[str, list[str]] = {}
    for (stratum, benchmark), members in _parts(items).items():
        data = f"{stratum}_{_name(benchmark)}.jsonl"
        rows = [_document(item, config.prompt) for item in members]
        (out / data).write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
        for setting in config.settings:
            _check_openings(members, setting)
            suffix = _suffix(setting)
            task = f"{GROUP}_{stratum}_{_name(benchmark)}{suffix}"
            _write_yaml(out / f"{task}.yaml", _task(task, setting, data, members, config), functions=True)
            groups.setdefault(f"{GROUP}_{stratum}{suffix}", []).append(task)
    for group, tasks in groups.items():
        _write_yaml(out / f"{group}.yaml", _group(group, tasks))
    plain = [group for group in groups if group in (f"{GROUP}_{s}" for s in ("knowledge", "reasoning", "unstratified"))]
    if plain:
        _write_yaml(out / f"{GROUP}.yaml", _group(GROUP, plain))
    count = sum(len(tasks) for tasks in groups.values())
    return {"rows_in": len(items), "tasks": count, "groups": {g: len(t) for g, t in groups.items()}}


def export_folder(items: Sequence[Item], form: str, config: ExportConfig, out: Path) -> dict[str, Any]:
    """Write `items` to `out` with code that inspect_ai or verifiers runs; `form` is a key of exports.folders.CODE.

    Answers are greedy and marked by our extraction; verifiers gets the rewards of grpo. Raises InputError for an item
    without the opening a setting needs.
    """
    rows = []
    for (stratum, benchmark), members in _parts(items).items():
        for setting in config.settings:
            _check_openings(members, setting)
        for item in members:
            prompt = _prompt(item, config.prompt)
            openings = {s: Asking(item, s).prefill for s in config.settings if s != PLAIN}
            rows.append(
                {"id": item.id, "stratum": stratum, "benchmark": benchmark, "prompt": prompt}
                | {"options": item.options, "answer_idx": item.answer_idx, "openings": openings}
            )
    record = {
        "settings": list(config.settings),
        "prompt": prompt_version(config.prompt),
        "max_new_tokens": config.max_new_tokens,
        "extraction": EXTRACTION_VERSION,
        "items_digest": items_digest(items),
    }
    write_folder(form, rows, record, out)
    return {"rows_in": len(items), "rows_out": len(rows), **record}


def export_parquet(items: Sequence[Item], out: Path) -> dict[str, Any]:
    """Write OUT/BENCHMARK/test-00000-of-00001.parquet with the columns of the published BioMed-R1-Eval, and a card.

    That set has no column for a context: it goes before the question, as a prompt shows it. Ids, keys, openings and
    strata stay; everything else of an item (meta, groups, traces) has no column there and is left out.
    """
    by_benchmark: dict[str, list[Item]] = {}
    for item in items:
        by_benchmark.setdefault(item.dataset_name, []).append(item)
    configs = []
    for benchmark in by_benchmark:
        # Not `..`, which lies outside OUT, nor the card's own name.
        if not re.fullmatch(r"\w[\w.-]*", benchmark) or benchmark == CARD:
            raise InputError(
                f"dataset_name: {benchmark!r} cannot name a folder; use letters, digits, _ . and -, beginning with one "
                f"of the first three, and not {CARD}"
            )
    for benchmark, members in by_benchmark.items():
        write_items([_with_context(i) for i in members], out / benchmark / PARQUET_NAME, columns=PUBLISHED_COLUMNS)
        files = [{"split": "test", "path": f"{benchmark}/{PARQUET_NAME}"}]
        configs.append({"config_name": benchmark, "data_files": files})
    card = yaml.safe_dump({"configs": configs}, sort_keys=False)
    (out / CARD).write_text(f"---\n{card}---\n", encoding="utf-8")
    return {"rows_in": len(items), "rows_out": len(items), "benchmarks": {k: len(v) for k, v in by_benchmark.items()}}


def _parts(items: Sequence[Item]) -> dict[tuple[str, str], list[Item]]:
    """Items by stratum and benchmark; those without a stratum are `unstratified`."""
    names = {True: "reasoning", False: "knowledge", None: "unstratified"}
    found: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        found.setdefault((names[item.is_reasoning], item.dataset_name), []).append(item)
    return found


def _check_names(items: Sequence[Item], settings: Sequence[str]) -> None:
    """Refuses what would overwrite one benchmark's file with another's: names lose their punctuation in a task's."""
    taken = {f"{_suffix(setting)}.yaml": "" for setting in settings}  # the groups
    for benchmark in dict.fromkeys(item.dataset_name for item in items):
        name = f"_{_name(benchmark)}"
        for file in (f"{name}.jsonl", *(f"{name}{_suffix(setting)}.yaml" for setting in settings)):
            owner = taken.setdefault(file, benchmark)
            if owner != benchmark:
                other = repr(owner) if owner else "a group of tasks"
                raise InputError(
                    f"dataset_name: {other} and {benchmark!r} would both be written to *{file}; rename one"
                )


def _document(item: Item, prompt: str) -> dict[str, Any]:
    openings = {name: item.opening(k) or "" for k, name in enumerate(OPENINGS)}
    options = json.dumps(item.options, ensure_ascii=False)
    return {
        "id": item.id,
        "prompt": _prompt(item, prompt),
        "options": options,
        "answer_idx": item.answer_idx,
    } | openings


def _prompt(item: Item, style: str) -> str:
    messages = build_messages(item, style)
    if [m["role"] for m in messages] != ["user"]:
        raise InputError(f"prompt: {style} has other messages than one of the user; exported tasks hold one")
    return messages[0]["content"]


def _check_openings(items: Sequence[Item], setting: str) -> None:
    if setting == PLAIN:
        return
    column = opening_column(setting)
    for item in items:
        if not Asking(item, setting).prefill:
            raise InputError(f"item {item.id}: {column}: missing, and setting {setting} needs it; run ingest")


def _task(name: str, setting: str, data: str, items: Sequence[Item], config: ExportConfig) -> dict[str, Any]:
    means = {"aggregation": "mean"}
    task = {
        "task": name,
        "dataset_kwargs": {"file": data},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "prompt",
        "doc_to_target": "answer_idx",
        "target_delimiter": "",  # else a space would follow the prompt
        "num_fewshot": 0,
        "generation_kwargs": {
            "until": [],
            "do_sample": False,
            "temperature": 0.0,
            "max_gen_toks": config.max_new_tokens,
        },
        "metric_list": [
            {"metric": "exact_match", **means, "higher_is_better": True},
            {"metric": "no_answer", **means, "higher_is_better": False},
        ],
        "metadata": {
            "version": 1.0,
            "prompt": prompt_version(config.prompt),
            "extraction": EXTRACTION_VERSION,
            "items_digest": items_digest(items),
        },
    }
    return task if setting == PLAIN else task | {"gen_prefix": opening_column(setting)}


def _group(name: str, tasks: Sequence[str]) -> dict[str, Any]:
    metrics = [{"metric": m, "weight_by_size": True} for m in ("exact_match", "no_answer")]
    return {"group": name, "task": list(tasks), "aggregate_metric_list": metrics, "metadata": {"version": 1.0}}


def _write_yaml(path: Path, value: dict[str, Any], functions: bool = False) -> None:
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    if functions:
        for field in ("load", "process_results"):
            text += f"{'custom_dataset' if field == 'load' else field}: !function biomed_r1_tasks.{field}\n"
    path.write_text(text, encoding="utf-8")


def _with_context(item: Item) -> Item:
    return item.with_(question=f"{item.context}\n\n{item.question}") if item.context else item


def _suffix(setting: str) -> str:
    return "" if setting == "plain" else f"_{setting}"


def _name(benchmark: str) -> str:
    return re.sub(r"\W+", "_", benchmark)
