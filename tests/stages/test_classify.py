"""The classifier is trained, measured on questions it never saw, and saved as any transformers checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sklearn import metrics

from components.engines import encoder, learners
from components.engines.bag_of_words import BagOfWords
from components.engines.reasoning import ReasoningClassifier
from components.errors import InputError, StageError
from components.platform.models import local_model
from components.platform.tables import read_items, write_items
from components.qa.calibration import probabilities
from components.qa.classification import stem
from components.qa.items import Item
from components.stages import classify as stage
from components.stages.classify import ClassifyConfig, classify, command

OPTIONS = {"A": "This", "B": "That"}
PARTS = ("heart", "lung", "liver", "kidney", "spleen", "colon", "brain", "skin", "eye", "ear", "knee", "hip")
SMALL: dict[str, Any] = {"folds": 2, "epochs": 4, "lr": 5e-4, "batch_size": 16, "max_length": 32, "dtype": "float32"}


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
    return out, classify(labels, ClassifyConfig(**SMALL), out)


def test_it_learns_what_can_be_learnt(trained: tuple[Path, dict[str, Any]]) -> None:
    _, evidence = trained
    assert evidence["metrics"]["combination_auroc"] > 0.9
    assert evidence["metrics"]["combination_balanced_accuracy"] > 0.8
    assert set(evidence["table"]) == {
        "majority", "question_length", "tfidf", "frozen_encoder", "encoder", "combination"
    }  # fmt: skip
    assert evidence["baselines"]["majority"]["balanced_accuracy"] == 0.5
    assert evidence["baselines"]["question_length"]["auroc"] < 0.7, "both kinds are of one length"
    assert evidence["history"][-1]["loss"] < 0.7 * evidence["history"][0]["loss"]
    assert evidence["steps"] == len(evidence["history"]) == 4 * -(-49 // 16), "the shipped model sees every label"
    json.dumps(evidence, allow_nan=False)


def test_the_checkpoint_needs_nothing_of_ours(trained: tuple[Path, dict[str, Any]]) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    out, _ = trained
    model = AutoModelForSequenceClassification.from_pretrained(out, use_safetensors=True)
    assert model.config.id2label == {0: "Understanding", 1: "Reasoning"}
    side = AutoTokenizer.from_pretrained(out).truncation_side
    assert side == "left", "a long vignette asks its question in the last sentence"
    assert not list(out.glob("*.pkl")) and not list(out.glob("*.bin")), "a checkpoint is data, never a pickle"


def test_every_label_is_scored_by_a_model_that_never_saw_it(
    trained: tuple[Path, dict[str, Any]], labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = trained
    card = json.loads((out / "classifier.json").read_text())
    assert len(card["labelled"]) == 49, "the unlabelled item is left out, the repeated one kept"
    truth, prob, called = (np.array([row[name] for row in card["labelled"]]) for name in ("label", "prob", "called"))
    assert card["metrics"]["auroc"] == pytest.approx(metrics.roc_auc_score(truth, prob), abs=0.02)
    assert card["confusion"]["matrix"] == metrics.confusion_matrix(truth, called).tolist()
    assert card["roc"]["thresholds"][0] == 1.0
    assert "worsening" not in (out / "classifier.json").read_text(), "a card holds no question text"


def test_a_label_leak_is_caught(labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folds by row put copies of a question on both sides: the run must stop, not report what it remembers."""

    def by_row(groups: list[str], labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
        return np.arange(len(groups)) * folds // len(groups)

    monkeypatch.setattr(stage, "make_folds", by_row)
    with pytest.raises(StageError, match=r"group \S+ is in folds 0 and 1, so its label leaks"):
        classify(labels, ClassifyConfig(**SMALL), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_figures_are_drawn(trained: tuple[Path, dict[str, Any]]) -> None:
    for name in ("roc.png", "confusion.png", "reliability.png"):
        assert (trained[0] / name).read_bytes().startswith(b"\x89PNG"), name


def test_no_score_of_a_labelled_question_is_in_sample(trained: tuple[Path, dict[str, Any]], labels: Path) -> None:
    out, _ = trained
    card = json.loads((out / "classifier.json").read_text())
    model = ReasoningClassifier.open(out)
    items = read_items(labels)
    asked = [*items, items[0].with_(id="new", question="A question that nobody labelled?", group_id=None)]
    prob, out_of_fold = model.score(asked, dtype="float32")
    assert out_of_fold == [True] * len(items) + [False], "the unlabelled copy of a labelled question counts too"
    given = {row["id"]: row["prob"] for row in card["labelled"]}
    for item, value in zip(items[2:48], prob[2:48], strict=True):
        assert value == given[item.id]
    assert prob[0] == pytest.approx((given[items[0].id] + given["again"]) / 2)


def test_the_saved_combination_scores_as_its_parts_do(trained: tuple[Path, dict[str, Any]]) -> None:
    out, _ = trained
    model = ReasoningClassifier.open(out)
    assert model.mixing is not None
    item = labelled(99, True)
    loaded = encoder.load(out)
    odds = learners.log_odds_of(encoder.score(loaded, [stem(item)], 32, "float32"))
    words = BagOfWords.load(out).log_odds([stem(item)])
    mixed = model.mixing["intercept"] + model.mixing["encoder"] * odds + model.mixing["tfidf"] * words
    prob, _ = model.score([item], dtype="float32")
    assert prob == pytest.approx(1 / (1 + np.exp(-mixed / model.temperature)))


def test_a_released_classifier_is_used_without_training(labels: Path, tmp_path: Path) -> None:
    released = tmp_path / "released"
    torch.manual_seed(0)
    model = encoder.load(local_model("package:minilm-l6-v2"))
    encoder.save(model, released)
    config = json.loads((released / "config.json").read_text())
    config["id2label"] = {"0": "reasoning-heavy", "1": "knowledge"}  # label 0 is the one that means reasoning
    (released / "config.json").write_text(json.dumps(config))
    evidence = classify(labels, ClassifyConfig(model=str(released), learner="released", max_length=32), tmp_path / "m")
    assert list(evidence["table"]) == ["released"] and evidence["steps"] == 0 and not evidence["out_of_fold"]
    before, after = (encoder.load(folder).model.state_dict() for folder in (released, tmp_path / "m"))
    assert all(torch.equal(before[name], after[name]) for name in before), "its weights must stay"
    opened = ReasoningClassifier.open(tmp_path / "m")
    items = read_items(labels)
    prob, out_of_fold = opened.score(items, dtype="float32")
    assert not any(out_of_fold), "nobody knows what it was trained on"
    mine = encoder.score(encoder.load(released), [stem(items[1])], 32, "float32")
    assert probabilities(learners.log_odds_of(mine), opened.temperature)[0] == pytest.approx(prob[1], abs=1e-6)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(labels: Path, tmp_path: Path) -> None:
    from components.platform.models import weights_digest

    def digest(name: str, seed: int) -> str:
        classify(labels, ClassifyConfig(**{**SMALL, "epochs": 1, "seed": seed}), tmp_path / name)
        return weights_digest(tmp_path / name)

    assert digest("one", 1) == digest("two", 1) != digest("three", 2)


def test_too_few_labels_are_refused_before_training(tmp_path: Path) -> None:
    path = tmp_path / "few.jsonl"
    write_items([labelled(n, n % 3 > 0) for n in range(15)], path)
    with pytest.raises(InputError, match=r"question_type: 5 distinct questions are labelled Understanding"):
        classify(path, ClassifyConfig(), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_the_verb_prints_the_table(labels: Path, tmp_path: Path) -> None:
    arguments = ["--labels", str(labels), "--out", str(tmp_path / "model"), "--json", str(tmp_path / "evidence.json")]
    changes = [x for name, value in {**SMALL, "epochs": 1}.items() for x in ("--set", f"{name}={value}")]
    changes += ["--set", "threshold_rule=fixed", "--set", "threshold=0.4"]
    result = CliRunner().invoke(command, arguments + changes, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "| **fine-tuned encoder and TF-IDF** |" in result.output
    evidence = json.loads((tmp_path / "evidence.json").read_text())
    assert evidence["rows_in"] == 49 and evidence["threshold"] == 0.4


def test_an_unknown_field_is_refused(labels: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="epoch: unknown"):
        CliRunner().invoke(
            command, ["--labels", str(labels), "--out", str(tmp_path), "--set", "epoch=3"], catch_exceptions=False
        )
