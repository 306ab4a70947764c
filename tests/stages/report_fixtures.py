"""A small made-up run for the report's tests: questions, answers of three models, and what the stages leave."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.platform.tables import write_items, write_rows
from components.questions.items import BENCHMARKS, Item, group_id
from components.scoring.cells import score
from components.scoring.gate import Rules, decide
from components.scoring.outcomes import grade, item_table

SETTINGS = ("plain", "adversarial_0", "adversarial_1", "adversarial_2")
HOSTILE = '</p><script>alert("x")</script> <img src=http://evil.example/a.png onerror=alert(1)> a|b'
METADATA = {
    "engine": "transformers 5.17.0",
    "prompt": "direct:0123456789ab",
    "decoding": '{"max_new_tokens": 64, "temperature": 0.0}',
    "extraction": "1",
    "items_digest": "ab" * 32,
}
SKILL = {"base": (0.45, 0.35, 0.1), "sft": (0.5, 0.38, 0.1), "grpo": (0.55, 0.45, 0.05)}  # knowledge, reasoning, fall


def make_items(per_benchmark: int = 8, seed: int = 1) -> list[Item]:
    """Questions of all eleven benchmarks with strata; reasoning is common in some benchmarks and rare in others."""
    draw = random.Random(seed)
    items = []
    for place, benchmark in enumerate(BENCHMARKS):
        letters = "ABCDEFGHIJ"[: 10 if benchmark == "MedXpertQA" else 4]
        for number in range(per_benchmark):
            question = f"Made-up question {number} of {benchmark}: which of these is the right one? {HOSTILE}"
            prob = min(0.99, max(0.01, draw.gauss(0.75 - 0.06 * place, 0.2)))
            items.append(
                Item(
                    id=f"{benchmark}-{number}",
                    question=question,
                    options={letter: f"choice {letter} <b>" for letter in letters},
                    answer_idx=draw.choice(letters),
                    dataset_name=benchmark,
                    group_id=group_id(question),
                    reasoning_prob=prob,
                    is_reasoning=prob >= 0.5,
                    reasoning_threshold=0.5,
                )
            )
    return items


def make_answers(
    items: Sequence[Item], model: str, settings: Sequence[str] = SETTINGS, seed: int = 2
) -> list[dict[str, Any]]:
    draw = random.Random(f"{model}{seed}")
    knowledge, reasoning, fall = SKILL[model]
    rows = []
    for item in items:
        for setting in settings:
            chance = (reasoning if item.is_reasoning else knowledge) - (0 if setting == "plain" else fall)
            right = draw.random() < chance
            letter = item.answer_idx if right else draw.choice(item.wrong_letters())
            silent = not right and draw.random() < 0.1
            rows.append(
                {
                    "item_id": item.id,
                    "model": model,
                    "setting": setting,
                    "output": f"I cannot say. {HOSTILE}" if silent else f"{HOSTILE}\nThe answer is {letter}.",
                    "extracted": None if silent else letter,
                    "correct": right,
                    "finish_reason": "length" if silent else "stop",
                }
            )
    return rows


def make_scores(items: Sequence[Item], answers: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """scores.json and decision.json by the code that makes them in a run."""
    table = item_table(items)
    graded = grade(items, ((f"row {n}", row) for n, row in enumerate(answers, start=1)))
    versions = dict.fromkeys(SKILL, METADATA)
    scores = score(table, graded, draws=1000, answer_versions=versions)
    return scores, decide(table, graded, "base", "grpo", Rules())


def make_classifier(seed: int = 3, n: int = 120) -> dict[str, Any]:
    draw = random.Random(seed)
    heldout = []
    for number in range(n):
        label = int(draw.random() < 0.6)
        prob = min(0.999, max(0.001, draw.gauss(0.62 if label else 0.42, 0.2)))
        heldout.append({"id": f"q{number}", "group_id": f"g{number}", "label": label, "prob": prob})
    accuracy = sum((row["prob"] >= 0.5) == bool(row["label"]) for row in heldout) / n
    return {
        "schema_version": 1,
        "threshold": 0.5,
        "threshold_rule": "balanced_accuracy",
        "metrics": {"accuracy": accuracy, "balanced_accuracy": accuracy - 0.01, "auroc": 0.78, "brier": 0.19},
        "baselines": {
            "majority": {"accuracy": 0.6, "balanced_accuracy": 0.5, "auroc": 0.5},
            "question_length": {"accuracy": 0.66, "balanced_accuracy": 0.61, "auroc": 0.7},
        },
        "labelled": heldout,
    }


def make_curation() -> dict[str, Any]:
    parts = {"stem": 0.9, "options": 0.8, "score": 0.85}
    removed = [
        {"id": f"train-{n}", "reason": "contaminated" if n < 10 else "near_duplicate", "match": f"medqa-{n}", **parts}
        for n in range(15)
    ]
    described = {"with_wrong_opening": 16, "reasoning_heavy_share": 0.75, "mean_prob": 0.61, "sources": {"medqa": 40}}
    counts = {"train": 240, "benchmark_items": 88, "contaminated": 10, "near_duplicates": 5, "kept": 225}
    return {
        "schema_version": 1,
        "settings": {"sft_size": 48},
        "min_prob": 0.5,
        "counts": {**counts, "traces_rejected": {"wrong_answer": 3}},
        "contaminated_share": 10 / 240,
        "sets": {"sft": {"items": 48, "rows": 64, **described}, "rl": {"items": 48, "rows": 48, **described}},
        "removed": removed,
        "traces_rejected": [{"id": "train-30", "reason": "wrong_answer"}],
    }


def make_histories(seed: int = 4) -> dict[str, list[dict[str, float]]]:
    draw = random.Random(seed)
    sft = [{"step": s, "loss": 2.2 * 0.93**s + draw.gauss(0, 0.05)} for s in range(1, 13)]
    grpo = [{"step": s, "reward": 0.3 + 0.03 * s + draw.gauss(0, 0.05), "loss": 0.01} for s in range(1, 7)]
    return {"sft": sft, "grpo": grpo}


def write_run(folder: Path, per_benchmark: int = 8) -> dict[str, Any]:
    """All inputs of `report` as files; returns its keyword arguments apart from config and out_dir."""
    folder.mkdir(parents=True, exist_ok=True)
    items = make_items(per_benchmark)
    answers = {m: make_answers(items, m, SETTINGS if m != "sft" else ("plain",)) for m in SKILL}
    write_items(items, folder / "items.parquet")
    for model, rows in answers.items():
        write_rows(rows, folder / f"{model}.parquet", METADATA)
    files = [folder / f"{model}.parquet" for model in SKILL]
    scores, decision = make_scores(items, [row for rows in answers.values() for row in rows])
    records = {"scores": scores, "decision": decision, "classifier": make_classifier(), "curation": make_curation()}
    records.update({f"{name}-history": history for name, history in make_histories().items()})
    for name, record in records.items():
        (folder / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")
    return {
        "scores": folder / "scores.json",
        "decision": folder / "decision.json",
        "items": folder / "items.parquet",
        "answers": files,
        "classifier": folder / "classifier.json",
        "curation": folder / "curation.json",
        "histories": {name: folder / f"{name}-history.json" for name in ("sft", "grpo")},
        "lineage": {"recipe": "demo", "recipe digest": "sha256:" + "cd" * 32, "git revision": "0123abc-dirty"},
    }
