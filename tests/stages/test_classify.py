"""The classifier is trained, measured on questions it never saw, and saved as any transformers checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from components.errors import InputError
from components.platform.tables import read_items, write_items
from components.qa.items import Item, group_of
from components.stages.classify import ClassifyConfig, classify, command

OPTIONS = {"A": "This", "B": "That"}
PARTS = ("heart", "lung", "liver", "kidney", "spleen", "colon", "brain", "skin", "eye", "ear", "knee", "hip")
SMALL: dict[str, Any] = {"epochs": 4, "lr": 5e-4, "batch_size": 16, "max_length": 32, "dtype": "float32"}


def labelled(number: int, reasoning: bool) -> Item:
    """Two kinds of question that any encoder can tell apart, of the same length."""
    part = PARTS[number % len(PARTS)]
    text = (
        f"worsening {part} pain, what should be done next"
        if reasoning
        else f"for the {part}, which vessel supplies most blood"
    )
    kind = "Reasoning" if reasoning else "Understanding"
    question = f"Case {number}: {text}?"
    return Item(f"{kind}-{number}", question, OPTIONS, "A", "MedXpertQA", question_type=kind)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    items = [labelled(n, reasoning) for n in range(24) for reasoning in (True, False)]
    # A question asked twice, and one without a label, which is not trained on.
    items += [items[0].with_(id="again"), items[1].with_(id="unlabelled", question_type=None)]
    path = tmp_path_factory.mktemp("labels") / "labels.parquet"
    write_items(items, path)
    return path


@pytest.fixture(scope="module")
def trained(labels: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("classifier") / "model"
    return out, classify(labels, ClassifyConfig(**SMALL, refit=False), out)


def test_it_learns_what_can_be_learnt(trained: tuple[Path, dict[str, Any]]) -> None:
    _, evidence = trained
    assert evidence["heldout"]["auroc"] > 0.9
    assert evidence["heldout"]["balanced_accuracy"] > 0.8
    assert evidence["baselines"]["majority"]["balanced_accuracy"] == 0.5
    assert evidence["baselines"]["majority"]["auroc"] == 0.5
    assert evidence["baselines"]["question_length"]["auroc"] == 0.5
    assert evidence["history"][-1]["loss"] < 0.7 * evidence["history"][0]["loss"]
    assert evidence["steps"] == len(evidence["history"]) == 4 * -(-evidence["rows"]["training"] // 16)
    json.dumps(evidence, allow_nan=False)


def test_the_checkpoint_needs_nothing_of_ours(trained: tuple[Path, dict[str, Any]], labels: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    out, _ = trained
    card = json.loads((out / "classifier.json").read_text())
    model = AutoModelForSequenceClassification.from_pretrained(out, use_safetensors=True)
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert model.config.id2label == {0: "Understanding", 1: "Reasoning"}
    assert tokenizer.truncation_side == "left", "a long vignette asks its question in the last sentence"
    question = {item.id: item.question for item in read_items(labels)}
    for row in card["heldout"]:
        encoded = tokenizer(question[row["id"]], truncation=True, max_length=32, return_tensors="pt")
        prob = torch.softmax(model(**encoded).logits, dim=-1)[0, 1].item()
        assert prob == pytest.approx(row["prob"], abs=1e-4), "held-out figures are not those of the saved weights"


def test_parts_share_no_group_and_the_threshold_is_not_tuned_on_held_out_rows(
    trained: tuple[Path, dict[str, Any]], labels: Path
) -> None:
    out, evidence = trained
    card = json.loads((out / "classifier.json").read_text())
    rows = evidence["rows"]
    assert rows["labelled"] == 49, "the unlabelled item is left out, the repeated one kept"
    assert rows["training"] + rows["tuning"] + rows["heldout"] == 49
    heldout = {row["group_id"] for row in card["heldout"]}
    assert not heldout & set(card["seen_groups"])
    groups = [group_of(item) for item in read_items(labels)]
    assert len(set(card["seen_groups"])) + len(heldout) < len(set(groups)), "tuning groups are in neither"
    labels_, probs = (np.array([row[name] for row in card["heldout"]]) for name in ("label", "prob"))
    assert card["confusion"]["matrix"][1][1] == int(((probs >= card["threshold"]) & (labels_ == 1)).sum())
    assert card["roc"]["thresholds"][0] == 1.0
    assert "worsening" not in (out / "classifier.json").read_text(), "a card holds no question text"


def test_figures_are_drawn(trained: tuple[Path, dict[str, Any]]) -> None:
    for name in ("roc.png", "confusion.png"):
        assert (trained[0] / name).read_bytes().startswith(b"\x89PNG"), name


def test_refit_ships_weights_trained_on_everything(labels: Path, tmp_path: Path) -> None:
    config = ClassifyConfig(**{**SMALL, "epochs": 1}, threshold_rule="fixed", threshold=0.4)
    evidence = classify(labels, config, tmp_path / "model")
    card = json.loads((tmp_path / "model" / "classifier.json").read_text())
    assert card["threshold"] == 0.4 and card["threshold_rule"] == "fixed"
    assert len(card["seen_groups"]) == 48, "after a refit every labelled group was seen"
    assert evidence["steps"] == 4, "49 rows in batches of 16"


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(labels: Path, tmp_path: Path) -> None:
    from components.platform.models import weights_digest

    def digest(name: str, seed: int) -> str:
        classify(labels, ClassifyConfig(**{**SMALL, "epochs": 1, "seed": seed}, refit=False), tmp_path / name)
        return weights_digest(tmp_path / name)

    assert digest("one", 1) == digest("two", 1) != digest("three", 2)


def test_too_few_labels_are_refused_before_training(tmp_path: Path) -> None:
    path = tmp_path / "few.jsonl"
    write_items([labelled(n, n % 3 > 0) for n in range(15)], path)
    with pytest.raises(InputError, match=r"question_type: 5 distinct questions are labelled Understanding"):
        classify(path, ClassifyConfig(), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_the_verb_prints_the_baselines_beside_the_classifier(labels: Path, tmp_path: Path) -> None:
    arguments = ["--labels", str(labels), "--out", str(tmp_path / "model"), "--json", str(tmp_path / "evidence.json")]
    changes = [
        x for name, value in {**SMALL, "epochs": 1, "refit": False}.items() for x in ("--set", f"{name}={value}")
    ]
    result = CliRunner().invoke(command, arguments + changes, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "baselines: majority accuracy" in result.output
    assert json.loads((tmp_path / "evidence.json").read_text())["rows"]["labelled"] == 49


def test_an_unknown_field_is_refused(labels: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="epoch: unknown"):
        CliRunner().invoke(
            command, ["--labels", str(labels), "--out", str(tmp_path), "--set", "epoch=3"], catch_exceptions=False
        )
