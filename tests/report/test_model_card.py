"""The model card: Hugging Face reads its metadata, its snippet runs, and what no run recorded is said to be unknown."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from report_records import cell, decision, drop

from components.platform.tracking import registry
from components.report.model_card import SNIPPET, About, model_card, version_text
from components.report.wording import MINUS, points

ABOUT = About("biomed-r1", "s3://b/store/artifacts/grpo/k", "d" * 64, "Apache-2.0", "ORG/base", "r" * 64, "abc123")
RECEIPTS: dict[str, Any] = {
    "ingest": {
        "evidence": {
            "datasets": [{"name": "train", "rows": 1200, "digest": "e" * 64}],
            "licences": {"train.jsonl": "CC-BY-4.0"},
        }
    },
    "curate": {
        "digest": "f" * 64,
        "evidence": {
            "counts": {"train": 1200, "contaminated": 30, "near_duplicates": 4},
            "contamination_rate": 0.025,
            "sets": {"sft": {"rows": 800, "reasoning_heavy_share": 0.75, "with_wrong_opening": 90}},
        },
    },
    "sft": {"evidence": {"steps": 9, "rows_in": 800, "weights_sha256_start": "1" * 64}, "seconds": 1800},
    "grpo": {"evidence": {"steps": 3, "rows_trained": 40, "weights_sha256": "2" * 64}, "gpu_seconds": 7200},
    "evaluate-new": {"evidence": {"engine": "vllm 0.31.0", "prompt": "stepwise:0123456789ab"}},
    "classify": {
        "evidence": {
            "learner": "combination",
            "table": {"combination": {"auroc": {"estimate": 0.8, "ci_low": 0.7, "ci_high": 0.9}}},
        }
    },
}
SETTINGS = {"sft": {"learning_rate": 5e-6, "seed": 0}, "evaluate": {"temperature": 0.0, "max_new_tokens": 2048}}


def scores() -> dict[str, Any]:
    cells = [
        cell(model="new"),
        cell(model="new", setting="adversarial", stratum="reasoning", accuracy=0.25, ci_low=0.1, ci_high=0.5),
        cell(model="new", benchmark="medqa"),
        cell(model="base", accuracy=0.9),
        cell(model="new", setting="adversarial_0", accuracy=0.4, ci_low=None, ci_high=None),
    ]
    return {"cells": cells, "adversarial_drops": [drop(0.25, -0.05, 0.4, model="new")]}


def made(about: About = ABOUT) -> ModelCard:
    return ModelCard(model_card(about, decision(), scores()))


def test_hugging_face_reads_the_results() -> None:
    data = made().data
    assert (data.license, data.base_model, data.library_name) == ("apache-2.0", "ORG/base", "transformers")
    assert "not-for-clinical-use" in data.tags and data.pipeline_tag == "text-generation"
    found = {(r.dataset_config, r.dataset_split): (r.metric_value, r.metric_args) for r in data.eval_results}
    assert found == {
        ("all", "plain"): (0.5, {"ci_low": 0.3, "ci_high": 0.7, "n": 10}),
        ("reasoning", "adversarial"): (0.25, {"ci_low": 0.1, "ci_high": 0.5, "n": 10}),
        ("all", "adversarial_0"): (0.4, {"n": 10}),
    }


@pytest.mark.parametrize(
    ("licence", "word"), [("Llama 3.1 Community License", "llama3.1"), ("unknown (ask the base model's)", "other")]
)
def test_a_licence_without_a_word_of_the_hub_is_named(licence: str, word: str) -> None:
    data = made(About("x", "s3://b/m", "d", licence, "SmolLM2-135M-Instruct")).data
    assert (data.license, data.get("license_name")) == (word, licence if word == "other" else None)
    assert data.get("base_model") is None, "not an id of the hub"


def test_the_text_says_where_it_came_from_and_what_it_is_not_for() -> None:
    text = made(About(**{**vars(ABOUT), "receipts": RECEIPTS, "settings": SETTINGS})).text
    assert "never for clinical decisions" in text.split("\n\n")[1]
    for said in (
        "## Gate: refuse (against base, look 1)",
        f"| train | 1,200 | `{'e' * 64}` |",
        "train.jsonl (CC-BY-4.0)",
        f"| sft | 800 | `{'f' * 64}` | trained on; 75% reasoning-heavy, 90 rows with a wrong prefill |",
        "| Supervised fine-tuning | 9 steps on 800 rows; learning_rate 5e-06, seed 0 |",
        "30 removed that overlap with the evaluation (2.5%)",
        "AUROC 0.800 (0.700 to 0.900)",
        "| Inference | vllm 0.31.0, temperature 0.0, max_new_tokens 2048 |",
        "2.00 GPU-hours, 0.50 hours of tasks",
        f"| all | {points(-0.25)} | {MINUS}40.0 to +5.0 |",
        "recipe sha256 `rrr",
    ):
        assert said in text, said
    assert "| reasoning | adversarial | 25.0" in text and "| all | adversarial_0 | 40.0" in text
    assert "90.0" not in text, "the baseline's accuracy"


def test_what_no_run_recorded_is_unknown() -> None:
    text = made().text
    assert "Not recorded: this model was registered outside a run." in text
    assert "| GRPO | not recorded |" in text and "| Compute | not recorded |" in text


def test_the_snippet_runs(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a reader would run it, with transformers alone, on a folder of files as they are in the store."""
    code = re.search(r"```python\n(.*?)```", made().text, re.DOTALL)
    assert code and code[1].strip() == SNIPPET
    shutil.copytree(tiny_model, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    exec(code[1].replace("max_new_tokens=256", "max_new_tokens=4"), {})
    assert "Which vitamin" in capsys.readouterr().out


def test_the_version_page_links_the_report_and_fits_the_registry() -> None:
    text = version_text(ABOUT, decision(), scores(), "#/experiments/1/runs/r")
    assert "[Report](#/experiments/1/runs/r/artifacts/report/report.html)" in text
    assert "AutoModelForCausalLM" in text and "never for clinical decisions" in text
    assert len(text) < registry._LONGEST and registry._short(text) == text
    assert "[Report]" not in version_text(ABOUT, decision(), scores(), "")


def test_a_description_that_is_too_long_ends_with_a_paragraph() -> None:
    text = "\n\n".join(f"paragraph {n} " + "x" * 90 for n in range(80))
    short = registry._short(text)
    assert 4800 < len(short) <= registry._LONGEST and text.startswith(short + "\n\n")
    assert len(registry._short("x" * 9000)) == registry._LONGEST
