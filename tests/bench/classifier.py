"""The classifier on MedXpertQA's expert labels, and what it makes of every question: the tables of docs/classifier.md.

    BIOMED_R1_DATA=DIR python tests/bench/classifier.py [--out DIR] [--set field=value]... [--reuse]

Trains out of fold on labels/medxpertqa_text_question_type and prints AUROC at equal length and among all questions, of
the combination and of each part alone; the same with folds drawn anew (--seeds); the default that is trained on the
package's samples, on the same labels; then splits all benchmarks, compares bf16 with fp32, and the encoder with
transformers.pipeline. `--reuse` takes the classifier that is in --out already. Prints Markdown; about 8 minutes on two
cores. `--set learner=encoder` adds the fine-tuned encoder to the table and a quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from components.classifier.shares import correction_words
from components.platform.config import parse_config, set_path
from components.platform.environment import quiet_environment

LABELS = Path("labels", "medxpertqa_text_question_type.jsonl")
SHOWN_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=".biomed-r1/bench-classifier", type=Path)
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--reuse", action="store_true")
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2], help="folds drawn anew, headline figures only")
    args = parser.parse_args()
    folder = os.environ.get("BIOMED_R1_DATA")
    if not folder:
        sys.exit("BIOMED_R1_DATA is not set: give the folder with labels/ and benchmarks/")
    quiet_environment()
    started = time.monotonic()
    if not args.reuse:
        train(Path(folder), args.changes, args.out / "classifier")
        print(f"classify: {time.monotonic() - started:.0f} s\n")
    print((args.out / "classifier" / "classifier.md").read_text(encoding="utf-8"))
    for seed in args.seeds:
        found = train(Path(folder), [*args.changes, f"seed={seed}"], args.out / f"classifier-{seed}")
        print(f"Folds of seed {seed}: {headline(found)}.")
    print(f"\n{default(Path(folder))}\n")
    started, cpu = time.monotonic(), time.process_time()
    evidence = split(Path(folder), args.out)
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    print(f"stratify: {evidence['items']:,} questions in {seconds:.0f} s ({cpu:.0f} CPU seconds)\n")
    print(shares(evidence))
    print(f"\n{parity(Path(folder), args.out / 'classifier')}\n{speed()}")


def train(folder: Path, changes: list[str], out: Path) -> dict[str, Any]:
    from components.stages.classify import ClassifyConfig, classify

    values: dict[str, Any] = {}
    for change in changes:
        set_path(values, change)
    config = parse_config(ClassifyConfig, values, "--set")
    return classify(folder / LABELS, config, out)


def headline(found: dict[str, Any]) -> str:
    """AUROC at equal length and among all questions, with intervals."""
    values = found["metrics"]
    equal, every = (
        f"{values[name]:.3f} ({values[f'{name}_ci_low']:.3f} to {values[f'{name}_ci_high']:.3f})"
        for name in (f"{found['learner']}_auroc_equal_length", f"{found['learner']}_auroc")
    )
    return f"AUROC at equal length {equal}, among all {every}"


def default(folder: Path) -> str:
    """What `stratify` uses without a classifier, on labels that it never saw."""
    import numpy as np

    from components.classifier.evaluation import Judged, compare_classifiers, length_matched
    from components.classifier.metrics import stem
    from components.classifier.model import ReasoningClassifier
    from components.platform.tables import read_items
    from components.questions.items import group_of
    from components.stages.stratify import default_classifier

    items = [item for item in read_items(folder / LABELS) if item.question_type]
    labels, groups = np.array([int(i.question_type == "Reasoning") for i in items]), [group_of(i) for i in items]
    stems = [stem(item) for item in items]
    words = np.array([float(len(text.split())) for text in stems])
    prob = ReasoningClassifier.open(default_classifier()).score_stems(stems)
    told = []
    for rows in (np.arange(len(labels)), length_matched(labels, words)):
        judged = {
            name: Judged(score[rows], prob[rows], prob[rows], np.ones(len(rows), dtype=int))
            for name, score in (("default", prob), ("words", words))
        }
        table = compare_classifiers(labels[rows], [groups[i] for i in rows], judged, 0)
        told.append([table[name]["auroc"] for name in ("default", "words")])
    (own, alone), (equal, _) = told
    return (
        f"The default, trained on the package's samples, on these labels: AUROC {interval(own)} (number of words alone "
        f"{interval(alone)}), at equal length {interval(equal)}."
    )


def interval(figure: dict[str, float | None]) -> str:
    return f"{figure['estimate']:.3f} ({figure['ci_low']:.3f} to {figure['ci_high']:.3f})"


def split(folder: Path, out: Path) -> dict[str, Any]:
    from components.stages.stratify import StratifyConfig, stratify

    items = sorted((folder / "benchmarks").glob("*.jsonl"))
    evidence = stratify(items, out / "classifier", StratifyConfig(), out / "strata.parquet")
    (out / "stratify.json").write_text(json.dumps(evidence, indent=1) + "\n", encoding="utf-8")
    return evidence


def parity(folder: Path, classifier: Path) -> str:
    """bf16 beside fp32 by what is shipped, all of it, on all labelled stems; it was trained on them."""
    import numpy as np

    from components.classifier.metrics import auroc, stem
    from components.classifier.model import ReasoningClassifier
    from components.platform.tables import read_items

    items = [item for item in read_items(folder / LABELS) if item.question_type]
    labels = np.array([int(item.question_type == "Reasoning") for item in items])
    model, stems = ReasoningClassifier.open(classifier), [stem(item) for item in items]
    exact, quick = (model.score_stems(stems, dtype=name) for name in ("float32", "bfloat16"))
    differ = int(np.sum((exact >= model.threshold) != (quick >= model.threshold)))
    return (
        f"The shipped classifier ({model.learner}, {model.max_length} tokens) on all {len(items):,} labelled stems, "
        f"which it was trained on: AUROC {auroc(labels, exact):.4f} in fp32, {auroc(labels, quick):.4f} in bf16; "
        f"{differ:,} calls differ at its threshold, the largest difference in probability is "
        f"{np.abs(exact - quick).max():.4f}."
    )


def speed() -> str:
    """bench_stratify's comparison, for the encoder as it comes."""
    from bench_stratify import measure

    from components.platform.models import local_model

    found = measure(local_model("package:minilm-l6-v2"), 400)
    return (
        f"The whole encoder on {found['sample']} questions of at most {found['max_length']} tokens: "
        f"{found['times_faster_than_pipeline']:.1f} times as fast as transformers.pipeline as it comes "
        f"({found['pipeline_fp32']['seconds']:.1f} s; ours {found['ours_auto']['seconds']:.1f} s in "
        f"{found['auto_dtype'].removeprefix('torch.')}), {found['times_faster_both_fp32']:.1f} times with both in fp32."
    )


def shares(evidence: dict[str, Any]) -> str:
    """The share per benchmark, raw and corrected; the curve; the outside checks."""
    lines = ["| benchmark | questions | called reasoning | corrected for errors |", "|---|---:|---|---|"]
    for name, share in (*sorted(evidence["benchmarks"].items()), ("**all**", evidence["pooled"])):
        lines.append(f"| {name} | {share['n']:,} | {percent(share)} | {correction_words(share['corrected'])} |")
    curve = dict(zip(evidence["share_curve"]["threshold"], evidence["share_curve"]["pooled"], strict=True))
    lines += ["", "| threshold | " + " | ".join(f"{t:.1f}" for t in SHOWN_THRESHOLDS) + " |"]
    lines += ["|---|" + "---|" * len(SHOWN_THRESHOLDS)]
    lines += ["| called reasoning | " + " | ".join(f"{curve[t]:.1%}" for t in SHOWN_THRESHOLDS) + " |", ""]
    lines.append(
        f"Threshold in use {evidence['threshold']:.3f}; the paper's 32.8 % is reached at "
        f"{evidence['threshold_at_paper_share']:.2f}."
    )
    pooled = evidence["pooled"]["corrected"]
    lines.append(f"Sensitivity {pooled['sensitivity']:.3f}, specificity {pooled['specificity']:.3f}.")
    step = evidence["exam_step"]
    lines.append(
        f"MedQA, Step 2 and 3 against Step 1: {step['n']:,} questions, AUROC {step['auroc']:.3f} "
        f"({step['auroc_ci_low']:.3f} to {step['auroc_ci_high']:.3f}; words alone {step['words_auroc']:.3f}), "
        f"kappa {step['kappa']:.3f}."
    )
    return "\n".join(lines)


def percent(share: dict[str, float | None]) -> str:
    return f"{share['share']:.1%} ({share['ci_low']:.1%} to {share['ci_high']:.1%})"


if __name__ == "__main__":
    main()
