"""Every item gets a probability and a stratum, shares are counted per benchmark, foreign strata are only compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from components.classifier.metrics import stem_id
from components.classifier.model import ReasoningClassifier
from components.errors import InputError
from components.platform.config import parse_config
from components.platform.models import local_model
from components.platform.tables import read_items, write_items
from components.questions.items import Item, group_of
from components.stages import stratify as stage
from components.stages.classify import ClassifyConfig
from components.stages.stratify import StratifyConfig, stratify
from pipelines.cli.classifier import stratify_command

OPTIONS = {"A": "One", "B": "Two"}
FAST = {"max_length": 16, "dtype": "float32"}


def item(name: str, benchmark: str, question: str, **more: Any) -> Item:
    return Item(name, question, OPTIONS, "A", benchmark, **more)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained head on MiniLM with a card: what matters here is what is done with the scores."""
    import torch

    from components.classifier import encoder

    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    encoder.save(encoder.load(local_model("package:minilm-l6-v2")), folder)
    first = item("x", "MedXpertQA", "Seen question 0?")
    names = {"group_id": group_of(first), "question_group": group_of(first), "stem_id": stem_id(first)}
    seen = {**names, "prob": 0.875, "label": 1, "called": 1}
    # 40 labelled questions, of which the judge gets 8 in 10 right, whichever they are.
    others = [
        {"group_id": f"g{n}", "prob": 0.9 if n % 10 < 8 else 0.1, "label": 1, "called": int(n % 10 < 8)}
        for n in range(20)
    ]
    others += [
        {"group_id": f"h{n}", "prob": 1 - row["prob"], "label": 0, "called": 1 - row["called"]}
        for n, row in enumerate(others)
    ]
    others = [{"question_group": row["group_id"], "stem_id": row["group_id"], **row} for row in others]
    card = {
        "schema_version": 3, "threshold": 0.5, "max_length": 64, "slope": 1.0, "intercept": 0.0, "learner": "encoder",
        "out_of_fold": True, "labelled": [seen, *others],
    }  # fmt: skip
    (folder / "classifier.json").write_text(json.dumps(card))
    return folder


@pytest.fixture
def items(tmp_path: Path) -> Path:
    rows = [item(f"x{n}", "MedXpertQA", f"Seen question {n}?", question_type="Reasoning") for n in range(4)]
    rows += [item(f"p{n}", "pubmedqa", f"Does {n} help?", context="An abstract. " * 60) for n in range(4)]
    rows += [
        item(f"n{n}", "NEJM", f"A long vignette of case {n}, with many words in it. What is done?") for n in range(4)
    ]
    rows[8] = rows[8].with_(meta={"published": {"is_reasoning": True, "reasoning_prob": 0.8}})
    rows[9] = rows[9].with_(reasoning_prob=0.1, is_reasoning=False, reasoning_threshold=0.5)
    write_items(rows, tmp_path / "items.parquet")
    return tmp_path / "items.parquet"


def test_every_item_is_scored_and_keeps_its_place(classifier: Path, items: Path, tmp_path: Path) -> None:
    evidence = stratify(items, classifier, StratifyConfig(**FAST), tmp_path / "out.parquet")
    before, after = read_items(items), read_items(tmp_path / "out.parquet")
    assert [i.id for i in after] == [i.id for i in before]
    assert all(i.reasoning_prob is not None and 0 <= i.reasoning_prob <= 1 for i in after)
    assert all(i.is_reasoning == (i.reasoning_prob >= 0.5) for i in after)  # type: ignore[operator]
    assert {i.reasoning_threshold for i in after} == {0.5}
    assert [i.question for i in after] == [i.question for i in before]
    for name in ("MedXpertQA", "pubmedqa", "NEJM"):
        flags = [i.is_reasoning for i in after if i.dataset_name == name]
        assert evidence["benchmarks"][name]["share"] == pytest.approx(sum(map(bool, flags)) / 4)
        assert evidence["metrics"][f"reasoning_share_{name}"] == evidence["benchmarks"][name]["share"]
    assert evidence["paper"]["share"] == 0.328
    assert evidence["pooled"]["ci_low"] <= evidence["pooled"]["share"] <= evidence["pooled"]["ci_high"]
    json.dumps(evidence, allow_nan=False)


def test_foreign_strata_are_compared_and_never_mixed(classifier: Path, items: Path, tmp_path: Path) -> None:
    evidence = stratify(items, classifier, StratifyConfig(**FAST), tmp_path / "out.parquet")
    after = {i.id: i for i in read_items(tmp_path / "out.parquet")}
    assert after["n0"].meta["published"] == {"is_reasoning": True, "reasoning_prob": 0.8}
    assert after["n1"].meta["published"] == {"reasoning_prob": 0.1, "is_reasoning": False, "reasoning_threshold": 0.5}
    assert after["n1"].reasoning_prob != 0.1
    agreed = (after["n0"].is_reasoning is True) + (after["n1"].is_reasoning is False)
    assert evidence["published"]["all"]["n"] == 2
    assert evidence["published"]["all"]["agreement"] == agreed / 2
    assert evidence["published"]["NEJM"]["n"] == 2
    again = stratify(tmp_path / "out.parquet", classifier, StratifyConfig(**FAST), tmp_path / "again.parquet")
    assert again["published"]["all"]["n"] == 2, "our own strata must not become published ones"


def test_items_it_was_trained_on_get_their_out_of_fold_score(classifier: Path, items: Path, tmp_path: Path) -> None:
    evidence = stratify(items, classifier, StratifyConfig(**FAST), tmp_path / "out.parquet")
    after = {i.id: i for i in read_items(tmp_path / "out.parquet")}
    assert after["x0"].meta["prob_source"] == "out_of_fold" and after["x0"].reasoning_prob == 0.875
    assert after["x1"].meta["prob_source"] == "classifier" and after["x1"].reasoning_prob != 0.875
    assert evidence["pooled"]["out_of_fold"] == evidence["benchmarks"]["MedXpertQA"]["out_of_fold"] == 1
    assert evidence["experts"]["all"]["n"] == 4 and evidence["experts"]["untrained"]["n"] == 3


def test_a_copy_in_the_same_words_gets_the_out_of_fold_score_too(classifier: Path, tmp_path: Path) -> None:
    """Printed choices, a context or a group of its own make another group of what reads the same to the classifier."""
    question = "Seen question 0?"
    rows = [
        item("choices", "NEJM", f"{question} Answer Choices: (A) One (B) Two"),
        item("context", "NEJM", question, context="An abstract."),
        item("given", "NEJM", f"  {question.upper()}", group_id="from elsewhere"),
        item("grouped", "NEJM", "In other words?", group_id=group_of(item("x", "MedXpertQA", question))),
        item("another", "NEJM", "Another question?"),
    ]
    write_items(rows, tmp_path / "in.parquet")
    stratify(tmp_path / "in.parquet", classifier, StratifyConfig(**FAST), tmp_path / "out.parquet")
    *copies, another = read_items(tmp_path / "out.parquet")
    assert [(i.meta["prob_source"], i.reasoning_prob) for i in copies] == [("out_of_fold", 0.875)] * 4
    assert another.meta["prob_source"] == "classifier"


def test_of_a_released_classifier_nobody_knows_what_it_was_trained_on(
    classifier: Path, items: Path, tmp_path: Path
) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "released").mkdir(exist_ok=True)
        (tmp_path / "released" / name).symlink_to(classifier / name)
    card = json.loads((classifier / "classifier.json").read_text()) | {"learner": "released", "out_of_fold": False}
    for step in ("with a card", "without"):
        if step == "with a card":
            (tmp_path / "released" / "classifier.json").write_text(json.dumps(card))
        else:
            (tmp_path / "released" / "classifier.json").unlink()
        evidence = stratify(items, tmp_path / "released", StratifyConfig(**FAST), tmp_path / "out.parquet")
        assert {i.meta["prob_source"] for i in read_items(tmp_path / "out.parquet")} == {"released"}, step
        assert evidence["experts"]["all"]["n"] == 4 and evidence["experts"]["untrained"] == {"n": 0}, step


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": 0.5}, "threshold: 0.5 is for threshold_rule 'fixed'"),
        ({"threshold_rule": "fixed"}, "threshold: threshold_rule 'fixed' needs"),
        ({"target_share": 0.2}, "target_share: 0.2 is for threshold_rule 'match_share'"),
    ],
)
def test_a_setting_that_would_be_ignored_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_config(StratifyConfig, changes, "--set")
    whole = StratifyConfig(threshold_rule="match_share", target_share=0.2)
    for config in (StratifyConfig(), whole):
        assert StratifyConfig.model_validate_json(config.model_dump_json()) == config


def test_the_share_is_corrected_for_the_judges_errors(classifier: Path, items: Path, tmp_path: Path) -> None:
    """Only among the eight that nobody labelled: the other four are Reasoning by their label."""
    evidence = stratify(items, classifier, StratifyConfig(**FAST), tmp_path / "out.parquet")
    corrected, unlabelled = evidence["pooled"]["corrected"], read_items(tmp_path / "out.parquet")[4:]
    sensitivity, specificity = 17 / 21, 16 / 20
    assert corrected["sensitivity"] == pytest.approx(sensitivity)
    assert corrected["specificity"] == pytest.approx(specificity)
    raw = sum(bool(i.is_reasoning) for i in unlabelled) / 8
    expected = (raw + specificity - 1) / (sensitivity + specificity - 1)
    assert corrected["uncut"] == pytest.approx(expected)
    if corrected["share"] is not None:
        assert corrected["share"] == pytest.approx((4 + 8 * min(1, max(0, expected))) / 12)
        assert corrected["ci_low"] <= corrected["share"] <= corrected["ci_high"]
    experts = evidence["benchmarks"]["MedXpertQA"]["corrected"]
    assert experts["share"] == 1.0 and experts["uncut"] is None, "labels need no correction"


def test_errors_are_those_at_the_threshold_in_use(classifier: Path, items: Path, tmp_path: Path) -> None:
    config = StratifyConfig(**FAST, threshold_rule="fixed", threshold=0.95)
    evidence = stratify(items, classifier, config, tmp_path / "out.parquet")
    corrected = evidence["pooled"]["corrected"]
    assert corrected["sensitivity"] == 0.0 and corrected["specificity"] == 1.0 and corrected["uncut"] is None


def test_the_exam_step_is_a_check_where_items_say_it(classifier: Path, items: Path, tmp_path: Path) -> None:
    rows = [
        i.with_(dataset_name="medqa", meta={"meta_info": ("step1", "step2&3", "other")[n % 3]})
        for n, i in enumerate(read_items(items))
    ]
    write_items(rows, tmp_path / "steps.parquet")
    evidence = stratify(tmp_path / "steps.parquet", classifier, StratifyConfig(**FAST), tmp_path / "out.parquet")
    assert evidence["exam_step"]["n"] == 8 and evidence["exam_step"]["their_share"] == 0.5
    assert 0 <= evidence["exam_step"]["auroc"] <= 1 and 0 <= evidence["exam_step"]["words_auroc"] <= 1


def test_the_doubtful_ones_are_shown_and_hostile_text_stays_text(classifier: Path, items: Path, tmp_path: Path) -> None:
    rows = [*read_items(items), item("evil", "NEJM", "<script>alert(1)</script> What is <b>this</b>?")]
    write_items(rows, tmp_path / "in.parquet")
    stratify(tmp_path / "in.parquet", classifier, StratifyConfig(**FAST, nearest=20), tmp_path / "out.parquet")
    page = (tmp_path / "nearest.html").read_text()
    assert page.count("<article>") == 13 and "<script" not in page and "&lt;script&gt;" in page
    stratify(tmp_path / "in.parquet", classifier, StratifyConfig(**FAST, nearest=2), tmp_path / "out.parquet")
    page = (tmp_path / "nearest.html").read_text()
    assert page.count("<article>") == 6, "two of each benchmark"
    after = [i for i in read_items(tmp_path / "out.parquet") if i.dataset_name == "pubmedqa"]
    nearest = min(after, key=lambda i: abs((i.reasoning_prob or 0) - 0.5))
    assert page.index(f">{nearest.id} ") > 0
    assert (tmp_path / "share-curve.png").read_bytes().startswith(b"\x89PNG")


def test_match_share_calls_the_asked_share_reasoning(classifier: Path, items: Path, tmp_path: Path) -> None:
    config = StratifyConfig(**FAST, threshold_rule="match_share", target_share=0.25)
    evidence = stratify(items, classifier, config, tmp_path / "out.parquet")
    assert evidence["pooled"]["share"] == 0.25
    assert evidence["threshold_rule"] == "match_share" and evidence["threshold"] != 0.5


def test_scores_do_not_depend_on_the_company(classifier: Path) -> None:
    """Batching, padding and order must not change a score."""
    rows = [item(str(n), "NEJM", "word " * (n % 40 + 1) + f"{n}?") for n in range(60)]
    model = ReasoningClassifier.open(classifier)
    together, _ = model.score(rows, 64, "float32")
    assert model.score(rows[::-1], 64, "float32")[0][::-1] == pytest.approx(together, abs=1e-5)
    assert model.score(rows[7:8], 64, "float32")[0] == pytest.approx(together[7:8], abs=1e-5)
    assert model.score(rows, 64, "bfloat16")[0] == pytest.approx(together, abs=0.02)
    assert len(set(together.round(6).tolist())) > 30


def test_batches_hold_every_text_once_and_stay_in_budget() -> None:
    from components.classifier.encoder import token_batches

    lengths = [(n * 37) % 200 + 1 for n in range(500)]
    batches = token_batches(lengths, 1000)
    assert sorted(i for batch in batches for i in batch) == list(range(500))
    assert all(len(batch) * max(lengths[i] for i in batch) <= 1000 for batch in batches)
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    assert padded < 1.1 * sum(lengths), "sorting by length leaves little padding"
    assert token_batches([5000], 1000) == [[0]], "a text longer than the budget is a batch of its own"


def test_several_files_at_once(classifier: Path, items: Path, tmp_path: Path) -> None:
    write_items([item("more", "Lancet", "One more?")], tmp_path / "more.jsonl")
    arguments = ["--items", str(items), str(tmp_path / "more.jsonl"), "--classifier", str(classifier)]
    arguments += ["--out", str(tmp_path / "out.parquet"), "--json", str(tmp_path / "evidence.json")]
    arguments += ["--set", "max_length=16", "--set", "dtype=float32"]
    result = CliRunner().invoke(stratify_command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "paper: 0.328" in result.output
    assert len(read_items(tmp_path / "out.parquet")) == 13
    assert json.loads((tmp_path / "evidence.json").read_text())["items"] == 13


def test_an_id_in_two_files_is_refused(classifier: Path, items: Path, tmp_path: Path) -> None:
    write_items([item("n0", "Lancet", "One more?")], tmp_path / "more.jsonl")
    with pytest.raises(InputError, match="'n0' is also an id of"):
        stratify([items, tmp_path / "more.jsonl"], classifier, StratifyConfig(), tmp_path / "out.parquet")


def test_a_newer_or_damaged_card_is_refused(classifier: Path, items: Path, tmp_path: Path) -> None:
    for text, message in (
        ('{"schema_version": 4, "threshold": 1}', "upgrade"),
        ('{"schema_version": 3, "threshold": 1}', "run classify"),
        ('{"schema_version": 2, "threshold": 1}', "is older than 3"),
        ('{"schema_version": 1, "threshold": 1}', "older than 3: .*run classify again"),
        ("{", "not a classifier card"),
    ):
        folder = tmp_path / message.replace(" ", "").replace("*", "")
        folder.mkdir()
        (folder / "classifier.json").write_text(text)
        with pytest.raises(InputError, match=message):
            stratify(items, folder, StratifyConfig(), tmp_path / "out.parquet")


def test_a_folder_without_a_model_is_refused(items: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a model folder"):
        stratify(items, tmp_path, StratifyConfig(), tmp_path / "out.parquet")


def test_an_encoder_whose_head_was_never_trained_is_refused(items: Path, tmp_path: Path) -> None:
    """As it comes from its package: two random labels look like probabilities and are noise."""
    with pytest.raises(
        InputError, match=r"no trained classifier: its files hold no classifier\.bias, classifier\.weight"
    ):
        stratify(items, local_model("package:minilm-l6-v2"), StratifyConfig(**FAST), tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_a_generator_is_no_classifier(items: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(local_model("package:minilm-l6-v2"))
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(tmp_path / "generator")
    tokenizer.save_pretrained(tmp_path / "generator")
    with pytest.raises(InputError, match=r"no trained classifier: its files hold no score\.weight"):
        stratify(items, tmp_path / "generator", StratifyConfig(**FAST), tmp_path / "out.parquet")


def test_without_a_classifier_the_samples_labels_make_one_once(
    items: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The cut of the settings' cost that a test can afford: the samples' labels, few folds, short texts.
    monkeypatch.setattr(stage, "DEFAULT", ClassifyConfig(folds=2, max_length=16, dtype="float32", length_slope=1.25))
    monkeypatch.setenv("BIOMED_R1_HOME", str(tmp_path / "home"))
    evidence = stratify(items, None, StratifyConfig(**FAST), tmp_path / "out.parquet")
    assert evidence["classifier"]["default"] and "377 labelled sample questions" in evidence["classifier"]["words"]
    (made,) = (tmp_path / "home" / "classifiers").iterdir()
    assert "trained on the 377 labelled sample questions" in (made / "classifier.md").read_text()
    assert "What length is worth was set beforehand (1.25" in (made / "classifier.md").read_text()
    stamp = (made / "classifier.json").stat().st_mtime_ns
    assert stage.default_classifier() == made and (made / "classifier.json").stat().st_mtime_ns == stamp, "made once"
    monkeypatch.setattr(stage, "DEFAULT", ClassifyConfig(folds=2, max_length=16, dtype="float32", length_slope=1.0))
    assert stage._default_folder() != made, "other settings, another classifier"


def test_evidence_says_whose_labels_drew_the_line(classifier: Path, items: Path, tmp_path: Path) -> None:
    evidence = stratify(items, classifier, StratifyConfig(**FAST), tmp_path / "out.parquet")
    assert evidence["classifier"] == {
        "default": False, "trained_on": "unknown", "words": "The classifier was trained on unknown labels.",
    }  # fmt: skip
