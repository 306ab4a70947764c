"""`score` and `compare` on files: the contract of their outputs, exit codes, and what they refuse."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from components.errors import GateRefusedError, InputError
from components.platform.tables import iterate_rows, side_file, write_items, write_rows
from components.questions.items import Item, items_digest
from components.report.scores import Scores
from components.report.terminal import print_scores
from components.scoring.gate.decide import CONDITIONS
from components.stages.compare import CompareConfig, compare, score_evidence, score_files
from pipelines.cli.evaluation import compare_command, score_command

SETTINGS = ("plain", "adversarial_0", "adversarial_1", "adversarial_2")
CONFIG = CompareConfig(draws=200)
ALIKE = dict.fromkeys(CONDITIONS, "same")


def make_items(count: int = 120, stratified: bool = True) -> list[Item]:
    return [
        Item(
            f"q{n}",
            f"Question {n}?",
            {letter: f"choice {letter}{n}" for letter in "ABCD"},
            "ABCD"[n % 4],
            ("medqa", "NEJM", "Lancet")[n % 3],
            is_reasoning=bool(n % 2) if stratified else None,
            reasoning_prob=0.8 if n % 2 else 0.2,
        )
        for n in range(count)
    ]


def answer_file(
    path: Path, items: list[Item], model: str, accuracy: float, settings: tuple[str, ...] = SETTINGS, **metadata: str
) -> Path:
    rng = np.random.default_rng(int(1000 * accuracy))
    rows = [
        {
            "item_id": item.id,
            "model": model,
            "setting": setting,
            "output": f"The answer is {item.answer_idx if rng.random() < accuracy else item.wrong_letters()[0]}.",
            "finish_reason": "stop",
        }
        for setting in settings
        for item in items
    ]
    alike = {**ALIKE, "items_digest": items_digest(items)}
    write_rows(rows, path, {**alike, "weights_sha256": model, **metadata})
    return path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    items = make_items()
    write_items(items, tmp_path / "items.parquet")
    return {
        "items": tmp_path / "items.parquet",
        "base": answer_file(tmp_path / "base.parquet", items, "base", 0.3),
        "better": answer_file(tmp_path / "better.parquet", items, "better", 0.9),
        "out": tmp_path / "out",
    }


def run_compare(files: dict[str, Path], candidate: str = "better", **options: Any) -> dict[str, Any]:
    answers = [files["base"], files[candidate]]
    return compare(files["items"], answers, "base", candidate, CONFIG, files["out"], **options)


def test_compare_writes_both_records_in_contract_shape(files: dict[str, Path]) -> None:
    evidence = run_compare(files)
    scores = json.loads((files["out"] / "scores.json").read_text())
    decision = json.loads((files["out"] / "decision.json").read_text())
    assert {"schema_version", "versions", "cells", "gaps", "adversarial_drops"} <= set(scores)
    assert set(scores["cells"][0]) == {
        *("model", "setting", "stratum", "benchmark", "n", "groups", "not_asked", "correct", "accuracy"),
        *(
            "ci_low",
            "ci_high",
            "ci_method",
            "no_answer",
            "truncated",
            "accuracy_answered",
            "accuracy_unread_right",
            "chance",
        ),
        *("baseline", "above_chance"),
    }
    estimate_fields = {"estimate", "ci_low", "ci_high", "ci_method", "p", "p_holm"}
    gap_fields = {"model", "setting", "benchmark", "kind", "weighting", "adjustment", *estimate_fields}
    gap_fields |= {"above_chance", "attenuation", "bound_low", "bound_high"}
    assert all(set(gap) == gap_fields for gap in scores["gaps"])
    drop_fields = {"model", "stratum", "benchmark", *estimate_fields}
    assert all(set(drop) == drop_fields for drop in scores["adversarial_drops"])
    assert {c["setting"] for c in scores["cells"]} == {*SETTINGS, "adversarial"}
    assert {c["benchmark"] for c in scores["cells"]} == {"all", "macro", "medqa", "NEJM", "Lancet"}
    assert scores["versions"]["answers"]["base"]["weights_sha256"] == "base"
    reason_fields = {"rule", "passed", "estimate", "bound", "ci_low", "ci_high", "p", "n", "groups", "text"}
    assert all(set(reason) == reason_fields for reason in decision["reasons"])
    assert (decision["decision"], decision["look"], decision["alpha"]) == ("promote", 1, 0.05)
    cells = {(c["setting"], c["stratum"]): c for c in decision["comparisons"]}
    assert set(cells) == {(s, t) for s in ("plain", "adversarial") for t in ("all", "knowledge", "reasoning")}
    assert cells["plain", "reasoning"]["estimate"] == pytest.approx(decision["reasons"][2]["estimate"])
    assert decision["reasons"][2]["rule"] == "reasoning_superior"
    assert evidence["decision"] == evidence["verdict"] == "promote" and evidence["refused_by"] == []
    assert decision["models"]["candidate"] == {"name": "better", "weights_sha256": "better"}
    assert decision["rules"]["margin"] == {"value": 0.03, "default": 0.03, "changed": False}
    assert {"dataset_name"} == {cell["column"] for cell in decision["guard"]}
    assert evidence["metrics"]["promoted"] == 1
    assert evidence["metrics"]["candidate_plain_reasoning_accuracy"] == pytest.approx(0.9, abs=0.1)
    assert all(isinstance(value, int | float) for value in evidence["metrics"].values())


def test_look_is_passed_on(files: dict[str, Path]) -> None:
    assert run_compare(files, look=4)["look"] == 4
    assert json.loads((files["out"] / "decision.json").read_text())["look"] == 4


def test_outputs_are_marked_anew(files: dict[str, Path], tmp_path: Path) -> None:
    """A row that claims to be right is not believed."""
    items = make_items()
    rows = [{"item_id": i.id, "model": "liar", "setting": "plain", "output": "No idea.", "extracted": i.answer_idx,
             "correct": True} for i in items]  # fmt: skip
    write_rows(rows, tmp_path / "liar.jsonl")
    result = CliRunner().invoke(
        score_command,
        ["--items", str(files["items"]), "--answers", str(tmp_path / "liar.jsonl"), "--out", str(tmp_path / "s.json")],
    )
    assert result.exit_code == 0, result.output
    cell = json.loads((tmp_path / "s.json").read_text())["cells"][0]
    assert (cell["correct"], cell["no_answer"]) == (0, len(items))


def test_score_command_prints_a_table(files: dict[str, Path], tmp_path: Path) -> None:
    arguments = ["--items", str(files["items"]), "--answers", str(files["base"]), "--answers", str(files["better"])]
    result = CliRunner().invoke(score_command, [*arguments, "--out", str(tmp_path / "s.json"), "--set", "draws=200"])
    assert result.exit_code == 0, result.output
    for text in ("Accuracy", "reasoning", "Knowledge minus reasoning", "Adversarial minus plain", "macro", "s.json"):
        assert text in result.output
    assert json.loads((tmp_path / "s.json").read_text())["versions"]["draws"] == 200


def test_a_loss_under_wrong_openings_is_negative_wherever_it_is_told(files: dict[str, Path], tmp_path: Path) -> None:
    items = make_items()
    answers = [answer_file(tmp_path / "plain.parquet", items, "base", 0.9, SETTINGS[:1])]
    answers.append(answer_file(tmp_path / "opened.parquet", items, "base", 0.2, SETTINGS[1:]))
    scores = score_files(files["items"], answers, CONFIG, tmp_path / "scores.json")
    told = score_evidence(scores)["metrics"]["base_adversarial_change_all"]
    accuracies = [next(c["accuracy"] for c in scores["cells"] if c["setting"] == s) for s in ("plain", "adversarial")]
    assert told == pytest.approx(accuracies[1] - accuracies[0]) and told < -0.5
    evidence = compare(files["items"], [*answers, files["better"]], "base", "better", CONFIG, files["out"])
    assert evidence["metrics"]["baseline_adversarial_change_all"] == pytest.approx(told)
    console = Console(width=160, record=True, file=io.StringIO())
    print_scores(scores, console=console)
    table = console.export_text().split("Adversarial minus plain")[1]
    assert f"{100 * told:+.1f} (-" in table and "+" not in table
    shown = Scores(scores).change("base")
    assert shown is not None and shown["estimate"] == pytest.approx(told)


def test_compare_command_prints_rules_and_exits_3_only_when_asked(files: dict[str, Path], tmp_path: Path) -> None:
    arguments = ["--items", str(files["items"]), "--answers", str(files["base"]), "--answers", str(files["better"])]
    arguments += ["--set", "draws=200", "--out", str(tmp_path / "d" / "verdict.json")]
    good = CliRunner().invoke(compare_command, [*arguments, "--baseline", "base", "--candidate", "better"])
    assert good.exit_code == 0 and "promote better over base" in good.output
    assert json.loads((tmp_path / "d" / "verdict.json").read_text())["decision"] == "promote"
    assert (tmp_path / "d" / "scores.json").exists()
    worse = [*arguments, "--baseline", "better", "--candidate", "base"]
    assert CliRunner().invoke(compare_command, worse).exit_code == 0
    failed = CliRunner().invoke(compare_command, [*worse, "--fail-on-refusal"])
    assert isinstance(failed.exception, GateRefusedError) and failed.exception.exit_code == 3
    assert "reasoning_superior" in str(failed.exception)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_different_conditions_are_bad_input(files: dict[str, Path], tmp_path: Path, condition: str) -> None:
    files["better"] = answer_file(tmp_path / "other.parquet", make_items(), "better", 0.9, **{condition: "another"})
    with pytest.raises(InputError, match=condition):
        run_compare(files)


def test_answers_without_conditions_are_refused_not_crashed_on(files: dict[str, Path], tmp_path: Path) -> None:
    items = make_items()
    for name in ("base", "better"):
        rows = [{"item_id": i.id, "model": name, "setting": s, "output": "A"} for i in items for s in SETTINGS]
        files[name] = tmp_path / f"{name}.jsonl"
        write_rows(rows, files[name])
    assert "same_conditions" in run_compare(files)["refused_by"]


def test_jsonl_answers_pass_with_a_side_file(files: dict[str, Path], tmp_path: Path) -> None:
    items = make_items()
    for name, accuracy in (("base", 0.3), ("better", 0.9)):
        rows = list(iterate_rows(answer_file(tmp_path / f"{name}.parquet", items, name, accuracy)))
        files[name] = tmp_path / f"{name}.jsonl"
        write_rows(rows, files[name])
        said = {**ALIKE, "items_digest": items_digest(items), "weights_sha256": name}
        side_file(files[name]).write_text(json.dumps(said), encoding="utf-8")
    assert run_compare(files)["decision"] == "promote"
    side_file(files["base"]).write_text('{"prompt": 1}', encoding="utf-8")
    with pytest.raises(InputError, match=r"base\.jsonl\.meta\.json: prompt: must be text"):
        run_compare(files)
    side_file(files["base"]).write_text("[", encoding="utf-8")
    with pytest.raises(InputError, match="not a JSON object"):
        run_compare(files)


def test_answers_of_other_keys_are_refused_with_their_number(files: dict[str, Path]) -> None:
    """Keys shifted by one letter after the models were asked were once graded in silence."""
    items = make_items()
    for name in ("base", "better"):
        rows = list(iterate_rows(files[name]))
        by_id = {item.id: item for item in items}
        for row in rows:
            row["extracted"] = row["output"].removeprefix("The answer is ")[0]
            row["correct"] = row["extracted"] == by_id[row["item_id"]].answer_idx
        alike = {**ALIKE, "items_digest": items_digest(items), "weights_sha256": name}
        write_rows(rows, files[name], alike)
    assert run_compare(files)["decision"] == "promote"
    shifted = [
        item.with_(answer_idx="ABCD"[("ABCD".index(item.answer_idx) + 1) % 4], answer=None) if n < 40 else item
        for n, item in enumerate(items)
    ]
    write_items(shifted, files["items"])
    with pytest.raises(InputError, match=r"base\.parquet: items_digest: .*at least \d+ of 120 keys changed"):
        run_compare(files)
    write_items([item.with_(question=f"{item.question} Really?") for item in items], files["items"])
    with pytest.raises(InputError, match="no key of the 120 questions is known to have changed"):
        run_compare(files)


def test_a_sample_of_the_items_is_the_same_items(files: dict[str, Path], tmp_path: Path) -> None:
    some = make_items()[10:110]
    for name, accuracy in (("base", 0.3), ("better", 0.9)):
        files[name] = answer_file(tmp_path / f"some-{name}.parquet", some, name, accuracy)
    assert run_compare(files)["decision"] == "promote"


def test_equivalence_and_flips_stand_in_the_decision(files: dict[str, Path]) -> None:
    run_compare(files, equivalent=0.05)
    decision = json.loads((files["out"] / "decision.json").read_text())
    assert decision["equivalence"]["margin"] == 0.05 and not decision["equivalence"]["equivalent"]
    flip = decision["flips"][0]
    assert (flip["setting"], flip["stratum"], flip["benchmark"], flip["n"]) == ("plain", "all", "all", 120)
    assert flip["wrong_to_right"] > flip["right_to_wrong"] and flip["p_mcnemar"] < 1e-6
    with pytest.raises(InputError, match="equivalent"):
        run_compare(files, equivalent=0.0)


def test_settings_reach_the_gate(files: dict[str, Path]) -> None:
    answers = [files["base"], files["better"]]
    config = CompareConfig(draws=200, schedule="horizon", horizon=10, guard_columns=("reasoning_prob",))
    evidence = compare(files["items"], answers, "base", "better", config, files["out"], look=10)
    decision = json.loads((files["out"] / "decision.json").read_text())
    assert evidence["look"] == 10
    assert decision["rules"]["level"]["value"] == pytest.approx(0.005) and decision["rules"]["level"]["changed"]
    assert {cell["column"] for cell in decision["guard"]} == {"dataset_name", "reasoning_prob"}
    assert "look" in compare(files["items"], answers, "base", "better", config, files["out"], look=11)["refused_by"]
    wrong = CompareConfig(draws=200, guard_columns=("specialty",))
    with pytest.raises(InputError, match="guard_columns: 'specialty': no item has it"):
        compare(files["items"], answers, "base", "better", wrong, files["out"])


def test_a_model_of_two_files_must_have_been_asked_alike(files: dict[str, Path], tmp_path: Path) -> None:
    items = make_items()
    one = answer_file(tmp_path / "one.parquet", items, "better", 0.9, ("plain",))
    two = answer_file(tmp_path / "two.parquet", items, "better", 0.9, SETTINGS[1:])
    other = answer_file(tmp_path / "other.parquet", items, "better", 0.9, SETTINGS[1:], prompt="another")
    together = compare(files["items"], [files["base"], one, two], "base", "better", CONFIG, files["out"])
    assert together["decision"] == "promote"
    with pytest.raises(InputError, match=r"other\.parquet: prompt"):
        compare(files["items"], [files["base"], one, other], "base", "better", CONFIG, files["out"])


def test_the_same_weights_under_two_names_are_refused(files: dict[str, Path], tmp_path: Path) -> None:
    files["better"] = answer_file(tmp_path / "copy.parquet", make_items(), "better", 0.9, weights_sha256="base")
    assert run_compare(files)["refused_by"] == ["different_models"]


def test_empty_cells_are_refused_with_a_reason(files: dict[str, Path], tmp_path: Path) -> None:
    files["base"] = answer_file(tmp_path / "plain.parquet", make_items(), "base", 0.3, ("plain",))
    evidence = run_compare(files)
    assert set(evidence["refused_by"]) == {"adversarial_reasoning_not_inferior", "adversarial_knowledge_not_inferior"}
    write_items(make_items(stratified=False), files["items"])
    reasons = json.loads((files["out"] / "decision.json").read_text())["reasons"]
    assert any("baseline has no adversarial answers" in reason["text"] for reason in reasons)
    assert "reasoning_superior" in run_compare(files)["refused_by"]


def test_an_unknown_model_is_bad_input(files: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="no answers of 'champion'; the files have answers of base, better"):
        compare(files["items"], [files["base"], files["better"]], "champion", "better", CONFIG, files["out"])
    with pytest.raises(InputError, match="compared with itself"):
        compare(files["items"], [files["base"]], "base", "base", CONFIG, files["out"])
    assert not files["out"].exists()


def test_config_refuses_nonsense() -> None:
    for wrong in ({"alpha": 0}, {"margin": 1.5}, {"draws": 5}, {"alhpa": 0.1}):
        with pytest.raises(ValueError):
            CompareConfig.model_validate(wrong)


def test_start_up_imports_nothing_heavy() -> None:
    code = (
        "import sys, components.stages.compare as c\n"
        "heavy = {'torch', 'transformers', 'scipy', 'sklearn', 'rich', 'boto3', 'mlflow', 'kfp'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
