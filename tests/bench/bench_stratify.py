"""Seconds to score every benchmark question, beside transformers.pipeline, and bf16 beside fp32.

    python tests/bench/bench_stratify.py [--classifier REF] [--sample 400] [--all] [--json F]

Questions are those of BIOMED_R1_DATA where it is set, of the shipped samples elsewhere. `--all` scores all of them
with our scorer; the comparisons use a seeded sample of `--sample`. Speed does not depend on training: without
--classifier MiniLM gets a random head, and then the AUROC says nothing. Questions are cut at the classifier's own
max_length (the recipes' where it has no card). CPU seconds are printed too: on a busy machine they compare better than
the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from components.classifier.metrics import auroc, stem
from components.platform.models import local_model
from components.platform.tables import read_items
from components.questions.items import Item


def questions() -> list[Item]:
    folder = os.environ.get("BIOMED_R1_DATA")
    root = Path(folder) if folder else Path(str(find_spec("components.samples").submodule_search_locations[0]))  # type: ignore
    return [item for path in sorted((root / "benchmarks").glob("*.jsonl")) for item in read_items(path)]


def timed(run: Callable[[], Any], texts: int) -> tuple[Any, dict[str, float]]:
    started, cpu = time.monotonic(), time.process_time()
    result = run()
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    return result, {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "per_second": texts / seconds,
        "per_cpu_second": texts / cpu,
    }


def with_pipeline(encoder: Any, texts: list[str], max_length: int) -> np.ndarray:
    """The usual way: fp32, batches in the order given, each padded to its longest text."""
    from transformers import pipeline

    classify = pipeline("text-classification", model=encoder.model, tokenizer=encoder.tokenizer, top_k=None)
    rows: Any = classify(texts, batch_size=32, truncation=True, max_length=max_length)
    return np.array([next(r["score"] for r in row if r["label"] in ("Reasoning", "LABEL_1")) for row in rows])


def measure(folder: Path, size: int, max_length: int | None = None, every: bool = False) -> dict[str, Any]:
    """Seconds and scores of the encoder in `folder` on a sample of `size` questions, ours beside the pipeline's."""
    import torch

    from components.classifier import encoder
    from components.classifier.model import ReasoningClassifier
    from components.stages.classify import ClassifyConfig

    torch.manual_seed(0)
    # Only how fast is asked: a head that was never trained is as fast.
    loaded, card = replace(encoder.load(folder), missing=()), ReasoningClassifier.open(folder)
    max_length = max_length or (card.max_length if card.labelled else ClassifyConfig().max_length)
    items = questions()
    sample = random.Random(0).sample(items, min(size, len(items)))
    texts = [stem(item) for item in sample]
    encoder.score(loaded, texts[:32], max_length, "float32")  # the first call pays for starting threads
    usual, pipeline_time = timed(lambda: with_pipeline(loaded, texts, max_length), len(texts))
    exact, exact_time = timed(lambda: encoder.score(loaded, texts, max_length, "float32"), len(texts))
    quick, quick_time = timed(lambda: encoder.score(loaded, texts, max_length, "auto"), len(texts))
    result: dict[str, Any] = {
        "questions": len(items),
        "sample": len(texts),
        "max_length": max_length,
        "threads": torch.get_num_threads(),
        "auto_dtype": str(encoder.compute_dtype("auto", loaded.device)),
        "pipeline_fp32": pipeline_time,
        "ours_fp32": exact_time,
        "ours_auto": quick_time,
        "times_faster_than_pipeline": pipeline_time["seconds"] / quick_time["seconds"],
        "times_faster_both_fp32": pipeline_time["seconds"] / exact_time["seconds"],
        "largest_difference_fp32": float(np.abs(usual - exact).max()),
        "largest_difference_auto": float(np.abs(quick - exact).max()),
    }
    known = [n for n, item in enumerate(sample) if item.question_type]
    if known:
        labels = np.array([int(sample[n].question_type == "Reasoning") for n in known])
        result["labelled"] = len(known)
        result["auroc_fp32"], result["auroc_auto"] = auroc(labels, exact[known]), auroc(labels, quick[known])
    if every:
        stems = list(dict.fromkeys(stem(item) for item in items))
        result["all"] = timed(lambda: encoder.score(loaded, stems, max_length, "auto"), len(items))[1]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classifier", default="package:minilm-l6-v2", help="model reference")
    parser.add_argument("--sample", type=int, default=400)
    parser.add_argument("--max-length", type=int, help="tokens; default: the classifier's own")
    parser.add_argument("--all", action="store_true", help="score every question as well")
    parser.add_argument("--json", dest="json_file")
    args = parser.parse_args()
    result = measure(local_model(args.classifier), args.sample, args.max_length, args.all)
    print(json.dumps(result, indent=1))
    if args.json_file:
        Path(args.json_file).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
