"""How often a baseline was challenged on the same questions: the ten ways in which that count could once be reset."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from components.errors import InputError
from components.platform.storage import store
from components.platform.storage.ledger import reserve, rotate_seal, seal_number
from components.platform.tables import write_items, write_rows
from components.questions.items import Item, items_digest
from components.questions.seal import Seal
from components.stages.compare import CompareConfig, challenge, compare
from components.stages.register import RegisterConfig, register
from pipelines.cli.evaluation import compare_command, score_command
from pipelines.cli.registry import seal_command

DEFAULT = CompareConfig()
CONDITIONS = {"engine": "e", "prompt": "p", "extraction": "4"}


def make_items(probability: float = 0.8, shift: int = 0) -> list[Item]:
    return [
        Item(
            f"q{n}",
            f"Question {n}?",
            {letter: f"choice {letter}{n}" for letter in "ABCD"},
            "ABCD"[(n + shift) % 4],
            "medqa",
            is_reasoning=bool(n % 2),
            reasoning_prob=probability if n % 2 else 0.2,
        )
        for n in range(240)
    ]


class Bench:
    """A store, questions, and two models' answers in files; every method changes what an earlier reset changed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root, self.items = folder, str(folder / "store"), make_items()

    def answers(self, model: str, weights: str, skill: float, decoding: str = "greedy", seconds: float = 1.0) -> Path:
        rng = np.random.default_rng(len(weights) + int(100 * skill) + len(decoding))
        rows = [
            {
                "item_id": item.id,
                "model": model,
                "setting": setting,
                "output": f"The answer is {item.answer_idx if rng.random() < skill else item.wrong_letters()[0]}.",
            }
            for setting in ("plain", "adversarial_0", "adversarial_1", "adversarial_2")
            for item in self.items
        ]
        path = self.folder / f"{model}-{weights}-{decoding}-{seconds}.parquet"
        metadata = {**CONDITIONS, "decoding": decoding, "items_digest": items_digest(self.items)}
        write_rows(rows, path, {**metadata, "weights_sha256": weights, "seconds": str(seconds)})
        return path

    def look(self, base: Path, candidate: Path, name: str = "biomed-r1", config: CompareConfig = DEFAULT) -> int:
        write_items(self.items, self.folder / "items.parquet")
        seal = seal_number(self.root)
        asked = challenge(self.folder / "items.parquet", [base, candidate], "base", "new", config, name, seal)
        return reserve(self.root, asked).look


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def strata_moved(bench: Bench) -> int:
    bench.items = make_items(0.8 + 1e-6)
    return bench.look(bench.answers("base", "w0", 0.3), bench.answers("new", "w2", 0.5))


def champion_asked_again(bench: Bench) -> int:
    return bench.look(bench.answers("base", "w0", 0.3, seconds=2.0), bench.answers("new", "w2", 0.5))


def other_decoding(bench: Bench) -> int:
    return bench.look(bench.answers("base", "w0", 0.3, "warm"), bench.answers("new", "w2", 0.5, "warm"))


def the_same_candidate_sampled_again(bench: Bench) -> int:
    return bench.look(bench.answers("base", "w0", 0.3), bench.answers("new", "w1", 0.5, "sampled, seed 2"))


def other_name(bench: Bench) -> int:
    return bench.look(bench.answers("base", "w0", 0.3), bench.answers("new", "w2", 0.5), "another-model")


def never_registered(bench: Bench) -> int:
    return bench.look(bench.answers("base", "w0", 0.3), bench.answers("new", "w2", 0.5))


def options_reordered(bench: Bench) -> int:
    bench.items = [i.with_(options=dict(reversed(i.options.items()))) for i in bench.items]
    return bench.look(bench.answers("base", "w0", 0.3), bench.answers("new", "w2", 0.5))


def rows_reordered(bench: Bench) -> int:
    bench.items = bench.items[::-1]
    return bench.look(bench.answers("base", "w0", 0.3), bench.answers("new", "w2", 0.5))


def a_subset(bench: Bench) -> int:
    bench.items = bench.items[1::2]
    return bench.look(bench.answers("base", "w0", 0.3), bench.answers("new", "w2", 0.5))


def copies_added(bench: Bench) -> int:
    bench.items = [*bench.items, *(i.with_(id=f"copy-{i.id}", group_id=f"other-{i.id}") for i in bench.items)]
    return bench.look(bench.answers("base", "w0", 0.3), bench.answers("new", "w2", 0.5))


def typeset_anew(bench: Bench) -> int:
    bench.items = [
        i.with_(question=f"{i.question} ", options={k: f"{v}." for k, v in i.options.items()}) for i in bench.items
    ]
    return bench.look(bench.answers("base", "w0", 0.3), bench.answers("new", "w2", 0.5))


def keys_corrected(bench: Bench) -> int:
    bench.items = make_items(shift=1)
    return bench.look(bench.answers("base", "w0", 0.3), bench.answers("new", "w2", 0.5))


def the_same_answers_cut_into_other_strata(bench: Bench) -> int:
    """A threshold moved until the same answers pass: every try is a decision of its own."""
    bench.items = [i.with_(is_reasoning=n % 4 == 1) for n, i in enumerate(bench.items)]
    return bench.look(bench.answers("base", "w0", 0.3), bench.answers("new", "w1", 0.5))


def weights_not_said(bench: Bench) -> int:
    return bench.look(bench.answers("base", "", 0.3), bench.answers("new", "", 0.5))


@pytest.mark.parametrize(
    "way",
    [
        a_subset,
        copies_added,
        typeset_anew,
        keys_corrected,
        the_same_answers_cut_into_other_strata,
        strata_moved,
        champion_asked_again,
        other_decoding,
        the_same_candidate_sampled_again,
        other_name,
        never_registered,
        options_reordered,
        rows_reordered,
    ],
)
def test_every_way_to_start_again_counts(bench: Bench, way: Callable[[Bench], int]) -> None:
    """Two more ways, a deleted version and an edited tag, change MLflow, which the ledger does not read; two runs at
    once, and another alpha, are in tests/platform/test_ledger.py."""
    assert bench.look(bench.answers("base", "w0", 0.3), bench.answers("new", "w1", 0.5)) == 1
    assert way(bench) == 2


def test_a_baseline_without_weights_has_no_name(bench: Bench) -> None:
    """An endpoint may be called anything: what is known of it is that nothing is known."""
    assert weights_not_said(bench) == 1
    for place, name in enumerate(("base", "another"), start=2):
        write_items(bench.items, bench.folder / "items.parquet")
        files = [bench.answers(name, "", 0.1 * place), bench.answers("new", "w2", 0.5)]
        asked = challenge(bench.folder / "items.parquet", files, name, "new", DEFAULT)
        assert reserve(bench.root, asked).look == place


@pytest.mark.parametrize("changed", ["sealed", "benchmark_margin", "no_answer_bound"])
def test_every_rule_of_the_gate_is_a_term(bench: Bench, changed: str) -> None:
    """A guard that is loosened after it has refused, or another share of questions, is another test."""
    base, new = bench.answers("base", "w0", 0.3), bench.answers("new", "w1", 0.5)
    bench.look(base, new)
    with pytest.raises(InputError, match=rf"{changed} [\d.]+ \(now 0\.4\)"):
        bench.look(base, new, config=CompareConfig(**{changed: 0.4}))


def test_the_same_answers_keep_their_place(bench: Bench) -> None:
    base, new = bench.answers("base", "w0", 0.3), bench.answers("new", "w1", 0.5)
    assert [bench.look(base, new) for _ in range(3)] == [1, 1, 1]
    with pytest.raises(InputError, match=r"alpha 0\.05 \(now 0\.2\)"):
        bench.look(base, bench.answers("new", "w2", 0.5), config=CompareConfig(alpha=0.2))


def test_the_gate_decides_on_the_sealed_questions_alone(bench: Bench) -> None:
    """A candidate that learned the open questions by heart, and nothing else, gains nothing from it."""
    seal = Seal(1 / 3, 0)
    base = bench.answers("base", "w0", 0.3)
    rows: list[dict[str, Any]] = []
    for setting in ("plain", "adversarial_0", "adversarial_1", "adversarial_2"):
        for place, item in enumerate(bench.items):
            right = not seal.covers(item) or place % 10 < 3
            letter = item.answer_idx if right else item.wrong_letters()[0]
            rows.append({"item_id": item.id, "model": "new", "setting": setting, "output": f"The answer is {letter}."})
    metadata = {**CONDITIONS, "decoding": "greedy", "items_digest": items_digest(bench.items), "weights_sha256": "w9"}
    write_rows(rows, bench.folder / "new.parquet", metadata)
    write_items(bench.items, bench.folder / "items.parquet")
    answers = [base, bench.folder / "new.parquet"]
    decisions = {}
    for share in (0.0, 1 / 3):
        config = CompareConfig(draws=200, sealed=share)
        compare(bench.folder / "items.parquet", answers, "base", "new", config, bench.folder / "out")
        decisions[share] = json.loads((bench.folder / "out/decision.json").read_text())
    assert decisions[0.0]["decision"] == "promote" and decisions[1 / 3]["decision"] == "refuse"
    assert decisions[1 / 3]["seal"]["questions"] == sum(map(seal.covers, bench.items)) < decisions[1 / 3]["seal"]["of"]
    parts = {(p["model"], p["setting"], p["stratum"]): p for p in decisions[1 / 3]["parts"]}
    new = parts["new", "plain", "all"]
    assert new["open"]["accuracy"] == 1.0 and new["sealed"]["accuracy"] < 0.5


def test_compare_takes_the_look_from_a_ledger(bench: Bench) -> None:
    write_items(bench.items, bench.folder / "items.parquet")
    base, new = bench.answers("base", "w0", 0.3), bench.answers("new", "w1", 0.9)
    words = ["--items", str(bench.folder / "items.parquet"), "--answers", str(base), "--baseline", "base"]
    words += ["--candidate", "new", "--out", str(bench.folder / "out"), "--set", "draws=200"]
    for weights, look in (("w1", 1), ("w2", 2), ("w1", 1)):
        given = ["--answers", str(bench.answers("new", weights, 0.9)), "--ledger", bench.root]
        done = CliRunner().invoke(compare_command, [*words, *given], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        assert json.loads((bench.folder / "out/decision.json").read_text())["look"] == look
    both = CliRunner().invoke(compare_command, [*words, "--answers", str(new), "--ledger", bench.root, "--look", "1"])
    assert both.exit_code == 2 and "give one of the two" in both.output


def test_a_rotated_seal_starts_another_count(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CompareConfig(sealed=1 / 3)
    base = bench.answers("base", "w0", 0.3)
    assert bench.look(base, bench.answers("new", "w1", 0.5), config=config) == 1
    assert bench.look(base, bench.answers("new", "w2", 0.5), config=config) == 2
    rotate_seal(bench.root, "the report of the last run was published", "me")
    assert bench.look(base, bench.answers("new", "w3", 0.5), config=config) == 1
    monkeypatch.setenv("BIOMED_R1_STORE", bench.root)
    assert "draw 1 " in CliRunner().invoke(seal_command, []).output
    assert CliRunner().invoke(seal_command, ["--rotate"]).exception
    assert "draw 2 " in CliRunner().invoke(seal_command, ["--rotate", "--reason", "again"]).output


def test_score_explains_how_an_answer_is_read(bench: Bench) -> None:
    write_items(bench.items, bench.folder / "items.parquet")
    base = bench.answers("base", "w0", 0.3)
    words = ["--items", str(bench.folder / "items.parquet"), "--answers", str(base), "--explain"]
    done = CliRunner().invoke(score_command, [*words, "q3"], catch_exceptions=False)
    assert done.exit_code == 0 and done.output.count("base, ") == 4 and "answer_is" in done.output
    missing = CliRunner().invoke(score_command, [*words, "q999"])
    assert isinstance(missing.exception, InputError) and "q999" in str(missing.exception)


def test_score_says_that_keys_changed(bench: Bench) -> None:
    """`compare` refuses; `score` may be asked what corrected keys change, and says that they are other ones."""
    base = bench.answers("base", "w0", 0.3)
    words = ["--answers", str(base), "--out", str(bench.folder / "scores.json"), "--set", "draws=100"]
    told = []
    for items in (make_items(), make_items(shift=1)):
        write_items(items, bench.folder / "items.parquet")
        done = CliRunner().invoke(score_command, ["--items", str(bench.folder / "items.parquet"), *words])
        told.append("are not those that were asked" in " ".join(done.output.split()))
    assert told == [False, True]
    assert "keys are not" in json.loads((bench.folder / "scores.json").read_text())["versions"]["items"]


def test_register_refuses_a_decision_about_other_weights(store_uri: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.safetensors").write_bytes(b"weights")
    store.put_dir(tmp_path / "model", f"{store_uri}/model", stage="grpo", key="k")
    decision = {"decision": "promote", "baseline": "base", "candidate": "grpo", "look": 1, "reasons": []}
    decision["models"] = {"candidate": {"name": "grpo", "weights_sha256": "0" * 64}}
    (tmp_path / "decision.json").write_text(json.dumps(decision))
    (tmp_path / "scores.json").write_text(json.dumps({"cells": []}))
    with pytest.raises(InputError, match="the decision is about 000000000000"):
        paths = tmp_path / "decision.json", tmp_path / "scores.json"
        register(f"{store_uri}/model", *paths, "", {}, RegisterConfig(name="other-weights"), tmp_path)
