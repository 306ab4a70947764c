"""The classifier is trained, measured on questions it never saw, and saved as any transformers checkpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sklearn import metrics

from components.classifier import encoder, fitting, learners
from components.classifier.metrics import probabilities, stem
from components.classifier.model import ReasoningClassifier
from components.errors import InputError, StageError
from components.platform.models import local_model
from components.platform.tables import read_items, write_items
from components.questions.items import Item, group_of
from components.stages.classify import ClassifyConfig, classify
from pipelines.cli.classifier import classify_command
from pipelines.settings.training_recipe import load_training_recipe

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


def head(folder: Path) -> Path:
    """MiniLM with an untrained head, as somebody might have released it."""
    torch.manual_seed(0)
    encoder.save(encoder.load(local_model("package:minilm-l6-v2")), folder)
    return folder


def rename(folder: Path, first: str, second: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["id2label"], config["label2id"] = {"0": first, "1": second}, {first: 0, second: 1}
    (folder / "config.json").write_text(json.dumps(config))


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


@pytest.fixture(scope="module")
def tuned(labels: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("tuned") / "model"
    return out, classify(labels, ClassifyConfig(**SMALL, learner="encoder"), out)


def test_it_learns_what_can_be_learnt(trained: tuple[Path, dict[str, Any]], tuned: tuple[Path, dict[str, Any]]) -> None:
    _, evidence = trained
    assert evidence["metrics"]["combination_auroc"] > 0.9
    assert evidence["metrics"]["combination_balanced_accuracy"] > 0.8
    rows = {
        "majority", "question_length", "tfidf", "frozen_encoder", "part_surface", "part_characters",
        "part_last_sentence", "part_vectors", "combination",
    }  # fmt: skip
    assert set(evidence["table"]) == rows and set(tuned[1]["table"]) == rows | {"encoder"}
    assert evidence["baselines"]["majority"]["balanced_accuracy"] == 0.5
    assert evidence["baselines"]["question_length"]["auroc"] < 0.7, "both kinds are of one length"
    history = tuned[1]["history"]
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert tuned[1]["steps"] == len(history) == 4 * -(-49 // 16), "the shipped model sees every label"
    assert evidence["steps"] == 0, "nothing in the combination is trained in steps"
    json.dumps(evidence, allow_nan=False)


def test_the_checkpoint_needs_nothing_of_ours(tuned: tuple[Path, dict[str, Any]]) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    out, _ = tuned
    model = AutoModelForSequenceClassification.from_pretrained(out, use_safetensors=True)
    assert model.config.id2label == {0: "Understanding", 1: "Reasoning"}
    side = AutoTokenizer.from_pretrained(out).truncation_side
    assert side == "left", "a long vignette asks its question in the last sentence"
    assert not list(out.glob("*.pkl")) and not list(out.glob("*.bin")), "a checkpoint is data, never a pickle"


def test_the_combinations_folder_is_data_too(trained: tuple[Path, dict[str, Any]]) -> None:
    out, _ = trained
    kinds = {path.suffix for path in out.iterdir()}
    assert kinds <= {".json", ".safetensors", ".md", ".png", ".txt"}, "never a pickle"
    frozen = encoder.load_frozen(out, "all")
    assert frozen.model.config.num_hidden_layers == 4, "the layers that nothing reads are left out"
    with pytest.raises(InputError, match=r"no trained classifier: .*classifier\.weight"):
        encoder.score(encoder.load(out), ["one"], 16)


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

    monkeypatch.setattr(fitting, "make_folds", by_row)
    with pytest.raises(StageError, match=r"group \S+ is in folds 0 and 1, so its label leaks"):
        classify(labels, ClassifyConfig(**SMALL), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_stem_in_two_groups_is_one_question(labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the questions come again with a group of their own: folds keep the copies together, or are refused."""
    items = [i for i in read_items(labels) if i.question_type]
    copies = [i.with_(id=f"copy-{i.id}", group_id=f"copy-{i.id}") for i in items[:24]]
    write_items([*items, *copies], tmp_path / "twice.parquet")
    released = head(tmp_path / "released")
    config = ClassifyConfig(model=str(released), learner="released", max_length=32)
    classify(tmp_path / "twice.parquet", config, tmp_path / "model")
    rows = {r["id"]: r for r in json.loads((tmp_path / "model" / "classifier.json").read_text())["labelled"]}
    for item in items[:24]:
        one, two = rows[item.id], rows[f"copy-{item.id}"]
        assert one["group_id"] == two["group_id"] and one["stem_id"] == two["stem_id"]
        assert (one["question_group"], two["question_group"]) == (group_of(item), f"copy-{item.id}")
    monkeypatch.setattr(fitting, "fold_groups", lambda own, stems: own)
    with pytest.raises(StageError, match=r"stem \S+ is in folds \d and \d, so its label leaks"):
        classify(tmp_path / "twice.parquet", config, tmp_path / "leaky")


def test_more_folds_than_questions_of_a_label_are_refused_before_training(labels: Path, tmp_path: Path) -> None:
    path = tmp_path / "few.jsonl"
    write_items(
        [labelled(n, reasoning) for n in range(24) for reasoning in ((True, False) if n < 8 else (True,))], path
    )
    with pytest.raises(InputError, match=r"folds: 20 are asked for and only 8 .*labelled Understanding"):
        classify(path, ClassifyConfig(folds=20), tmp_path / "model")


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


def test_the_saved_combination_scores_as_the_fitted_one(trained: tuple[Path, dict[str, Any]], labels: Path) -> None:
    out, _ = trained
    model, frozen = ReasoningClassifier.open(out), encoder.load_frozen(local_model("package:minilm-l6-v2"))
    rows = [i for i in read_items(labels) if i.question_type]
    known, groups = np.array([int(i.question_type == "Reasoning") for i in rows]), [group_of(i) for i in rows]
    fitters = learners.part_fitters(lambda asked: encoder.embed(frozen, asked, 32, "float32"))
    fitted = learners.Combination.fit(fitters, [stem(i) for i in rows], known, groups, 0)
    new = [stem(labelled(99, True)), stem(labelled(98, False))]
    odds = fitted.log_odds(new)
    prob = model.score_stems(new, dtype="float32")
    assert prob == pytest.approx(1 / (1 + np.exp(-(model.slope * odds + model.intercept))), abs=1e-5)
    parts = sum(fitted.coefficients[name] * part.scores(new) for name, part in fitted.parts.items())
    words = np.log1p([len(text.split()) for text in new])
    assert odds == pytest.approx(fitted.intercept + fitted.length * words + parts)


@pytest.mark.parametrize("name", ["combination.json", "combination.safetensors"])
def test_a_damaged_combination_is_refused(name: str, trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(trained[0], folder)
    for text in (b"{}", b"not what it was"):
        (folder / name).write_bytes(text)
        with pytest.raises(InputError, match=r"its combination is damaged .*run classify again"):
            ReasoningClassifier.open(folder).score_stems(["Which drug?"])


def test_a_released_classifier_is_used_without_training(labels: Path, tmp_path: Path) -> None:
    released = head(tmp_path / "released")
    rename(released, "reasoning-heavy", "knowledge")  # label 0 is the one that means reasoning
    evidence = classify(labels, ClassifyConfig(model=str(released), learner="released", max_length=32), tmp_path / "m")
    assert list(evidence["table"]) == ["released"] and evidence["steps"] == 0 and not evidence["out_of_fold"]
    before, after = (encoder.load(folder).model.state_dict() for folder in (released, tmp_path / "m"))
    assert all(torch.equal(before[name], after[name]) for name in before), "its weights must stay"
    opened = ReasoningClassifier.open(tmp_path / "m")
    items = read_items(labels)
    prob, out_of_fold = opened.score(items, dtype="float32")
    assert not any(out_of_fold), "nobody knows what it was trained on"
    mine = encoder.score(encoder.load(released), [stem(items[1])], 32, "float32")
    assert probabilities(learners.log_odds_of(mine), opened.slope, opened.intercept)[0] == pytest.approx(
        prob[1], abs=1e-6
    )


def test_a_released_classifier_whose_labels_are_inverted_is_refused(
    labels: Path, tuned: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """What was trained here knows these labels by heart; named the other way round it ranks them backwards."""
    encoder.save(encoder.load(tuned[0]), tmp_path / "released")
    config = ClassifyConfig(model=str(tmp_path / "released"), learner="released", max_length=32)
    assert classify(labels, config, tmp_path / "right")["metrics"]["released_auroc"] > 0.9
    rename(tmp_path / "released", "Reasoning", "Understanding")
    with pytest.raises(InputError, match=r"AUROC on the labelled questions is 0\.\d+ .*labels look inverted"):
        classify(labels, config, tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(labels: Path, tmp_path: Path) -> None:
    from components.platform.models import weights_digest

    def digest(name: str, seed: int) -> str:
        classify(labels, ClassifyConfig(**{**SMALL, "epochs": 1, "seed": seed, "learner": "encoder"}), tmp_path / name)
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
    result = CliRunner().invoke(classify_command, arguments + changes, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "| **combination of length and the parts** |" in result.output
    evidence = json.loads((tmp_path / "evidence.json").read_text())
    assert evidence["rows_in"] == 49 and evidence["threshold"] == 0.4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold_rule": "fixed"}, "threshold: threshold_rule 'fixed' needs"),
        ({"threshold": 0.5}, "threshold: 0.5 is for threshold_rule 'fixed'"),
        ({"target_share": 0.2}, "target_share: 0.2 is for threshold_rule 'match_share'"),
    ],
)
def test_a_threshold_rule_without_its_number_fails_with_the_recipe(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"classify: .*{message}"):
        load_training_recipe("demo", [f"classify.{name}={value}" for name, value in changes.items()])
    ClassifyConfig(threshold_rule="match_share")  # without a share: that of the labels
    ClassifyConfig(threshold_rule="fixed", threshold=0.0)


def test_an_unknown_field_is_refused(labels: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="epoch: unknown"):
        CliRunner().invoke(
            classify_command,
            ["--labels", str(labels), "--out", str(tmp_path), "--set", "epoch=3"],
            catch_exceptions=False,
        )
