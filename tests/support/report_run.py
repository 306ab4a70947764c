"""A small made-up run for the report's tests: questions and figures are invented, every record is made by its stage."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from components.classifier.evaluation import make_folds
from components.classifier.fitting import measured_card
from components.engines.answers import answer_row
from components.engines.base import Generation
from components.engines.probe import PROBE_VERSION, probe
from components.platform.tables import write_items, write_rows
from components.questions.askings import SETTINGS, Asking
from components.questions.items import BENCHMARKS, Item, group_id, group_of
from components.stages.classify import ClassifyConfig
from components.stages.compare import CompareConfig, compare
from components.stages.curate import CurateConfig, mix_sets, without_overlaps
from components.stages.evaluate import EvaluateConfig, answers_metadata, make_request
from components.stages.grpo import METRICS as GRPO_METRICS
from components.stages.ingest import with_openings
from components.stages.sft import METRICS as SFT_METRICS
from components.training.trainer import history

HOSTILE = '</p><script>alert("x")</script> <img src=http://evil.example/a.png onerror=alert(1)> a|b'
SKILL = {"base": (0.45, 0.35, 0.1), "sft": (0.5, 0.38, 0.1), "grpo": (0.55, 0.45, 0.05)}  # knowledge, reasoning, fall
THRESHOLD = 0.5
PROBED = 40.0  # percent of the answers


def make_items(per_benchmark: int = 8, seed: int = 1) -> list[Item]:
    """Questions of all eleven benchmarks with strata; reasoning is common in some benchmarks and rare in others."""
    draw = random.Random(seed)
    items = []
    for place, benchmark in enumerate(BENCHMARKS):
        letters = "ABCDEFGHIJ"[: 10 if benchmark == "MedXpertQA" else 4]
        for number in range(per_benchmark):
            question = f"Made-up question {number} of {benchmark}: which of these is the right one? {HOSTILE}"
            prob = min(0.99, max(0.01, draw.gauss(0.75 - 0.06 * place, 0.2)))
            item = Item(
                id=f"{benchmark}-{number}",
                question=question,
                options={letter: f"choice {letter} <b>" for letter in letters},
                answer_idx=draw.choice(letters),
                dataset_name=benchmark,
                group_id=group_id(question),
                reasoning_prob=prob,
                is_reasoning=prob >= THRESHOLD,
                reasoning_threshold=THRESHOLD,
                question_type=_expert(prob, number) if benchmark == "MedXpertQA" else None,
            )
            items.append(with_openings(item, seed))
    return items


def _expert(prob: float, number: int) -> str:
    """An expert's label, which is another than the call for some of the questions near the threshold."""
    return "Reasoning" if prob + 0.15 * (number % 3 - 1) >= THRESHOLD else "Understanding"


def make_answers(
    items: Sequence[Item], model: str, settings: Sequence[Any] = SETTINGS, seed: int = 2
) -> list[dict[str, Any]]:
    """What `evaluate` would write for a model of that SKILL; one in ten wrong ones names no option."""
    draw = random.Random(f"{model}{seed}")
    knowledge, reasoning, fall = SKILL[model]
    rows, asked = [], []
    for item in items:
        for setting in settings:
            chance = (reasoning if item.is_reasoning else knowledge) - (0 if setting == "plain" else fall)
            right = draw.random() < chance
            letter = item.answer_idx if right else draw.choice(item.wrong_letters())
            silent = not right and draw.random() < 0.1
            text = f"I cannot say. {HOSTILE}" if silent else f"{HOSTILE}\nThe answer is {letter}."
            if silent and setting in SETTINGS[2:]:  # after some prefills it adds nothing
                text, silent = "", False
            answer = Generation(text, "length" if silent else "stop", prompt_tokens=80, output_tokens=20)
            asking = Asking(item, setting)
            request = make_request(asking, EvaluateConfig())
            rows.append(answer_row(asking, request, answer, model, "continued", None))
            asked.append((request, answer, tuple(item.options)))
    requests, answers, letters = zip(*asked, strict=True)
    engine: Any = SimpleNamespace(pick=lambda _, choices: [draw.choice(own) for own in choices])
    probed, _ = probe(engine, requests, answers, letters, PROBED, seed)
    return [{**row, "probe": letter} for row, letter in zip(rows, probed, strict=True)]


def make_metadata(items: Sequence[Item], model: str) -> dict[str, str]:
    """What the answer file of a model says of itself."""
    engine: Any = SimpleNamespace(name="transformers", version="transformers 5.17.0 float32")
    weights = f"{list(SKILL).index(model):02d}" * 32
    made = answers_metadata(engine, EvaluateConfig(), items, f"package:{model}", weights)
    return {**made, "probe": f"{PROBED:g} %, {PROBE_VERSION}"}


def make_classifier(seed: int = 3, n: int = 120) -> dict[str, Any]:
    """classifier.json of labelled questions whose log-odds are drawn: the shipped one tells them apart best."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.6).astype(int)
    kinds = ("Understanding", "Reasoning")
    rows = [
        Item(f"q{k}", f"Labelled question {k}?", {"A": "1", "B": "2"}, "A", "MedXpertQA", question_type=kinds[label])
        for k, label in enumerate(labels)
    ]
    config = ClassifyConfig(threshold_rule="fixed", threshold=THRESHOLD, seed=seed)
    strength = {"question_length": 0.3, "tfidf": 0.8, "frozen_encoder": 0.9, "encoder": 1.0, "combination": 1.2}
    odds = {name: power * (2 * labels - 1) + rng.normal(0, 1.2, n) for name, power in strength.items()}
    groups = [group_of(item) for item in rows]
    fold = make_folds(groups, labels, config.folds, config.seed)
    return json.loads(json.dumps(measured_card(rows, labels, groups, fold, odds, config)))


def make_curation(questions: Sequence[Item], seed: int = 5, n: int = 160) -> dict[str, Any]:
    """curation.json of a training set that holds eight benchmark questions, five copies and three wrong traces."""
    draw = random.Random(seed)

    def words(count: int) -> str:
        return " ".join(f"word{draw.randrange(400)}" for _ in range(count))

    train = []
    for number in range(n):
        options = {letter: words(3) for letter in "ABCD"}
        train.append(
            Item(f"train-{number}", f"{words(20)}?", options, "A", "medqa", reasoning=f"{words(9)}. The answer is A.")
        )
    train[:3] = [item.with_(reasoning="Surely so. The answer is B.") for item in train[:3]]
    train += [item.with_(id=f"copy-{item.id}") for item in train[10:15]]
    train += [item.with_(id=f"train-{item.id}") for item in questions[:8]]
    config = CurateConfig(sft_size=48, rl_size=48)
    clean = without_overlaps(train, list(questions), config)
    scores = [draw.random() for _ in clean.kept]
    return mix_sets(clean, scores, THRESHOLD, config).card


def make_histories(seed: int = 4) -> dict[str, list[dict[str, float]]]:
    """The histories of both trainers, from logs with TRL's names."""
    draw = random.Random(seed)
    sft = [{"step": s, "loss": 2.2 * 0.93**s + draw.gauss(0, 0.05), "learning_rate": 1e-5} for s in range(1, 13)]
    parts = [name for name in GRPO_METRICS if name.startswith("rewards/")]
    grpo = [
        {"step": s, "reward": 0.3 + 0.03 * s + draw.gauss(0, 0.05), "loss": 0.01}
        | {name: 0.1 * place + 0.02 * s for place, name in enumerate(parts)}
        for s in range(1, 7)
    ]
    return {"sft": history(sft, SFT_METRICS), "grpo": history(grpo, GRPO_METRICS)}


def write_run(folder: Path, per_benchmark: int = 8, equivalent: float | None = None, **settings: Any) -> dict[str, Any]:
    """All inputs of `report` as files; returns its keyword arguments apart from config and out_dir.

    `equivalent` and `settings` (of the gate) are what `compare` is asked for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    items = make_items(per_benchmark)
    write_items(items, folder / "items.parquet")
    files = [folder / f"{model}.parquet" for model in SKILL]
    for model, path in zip(SKILL, files, strict=True):
        rows = make_answers(items, model, SETTINGS if model != "sft" else ("plain",))
        write_rows(rows, path, make_metadata(items, model))
    config = CompareConfig(**{"draws": 1000, **settings})
    compare(folder / "items.parquet", files, "base", "grpo", config, folder, equivalent=equivalent)
    records: dict[str, Any] = {"classifier": make_classifier(), "curation": make_curation(make_items())}
    records.update({f"{name}-history": steps for name, steps in make_histories().items()})
    for name, record in records.items():
        (folder / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")
    uris = {name: f"file:///runs/{name}-0123456789ab" for name in ("classifier", "sft", "grpo")}
    return {
        "scores": folder / "scores.json",
        "decision": folder / "decision.json",
        "items": folder / "items.parquet",
        "answers": files,
        "classifier": folder / "classifier.json",
        "curation": folder / "curation.json",
        "histories": {name: folder / f"{name}-history.json" for name in ("sft", "grpo")},
        "lineage": uris,
    }
