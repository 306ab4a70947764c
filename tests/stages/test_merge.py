"""Merged shards are what one evaluation of the whole set would have been, or there is no table at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.errors import InputError, StageError
from components.platform.tables import read_metadata, read_rows, write_items, write_rows
from components.questions.items import OPENINGS, Item
from components.questions.sharding import shard
from components.stages.evaluate import EvaluateConfig, evaluate
from components.stages.merge import MergeConfig, merge

SHARDS = 3
# Sampled, because a random model writes one token for ever: every answer has a seed of its own.
CONFIG = EvaluateConfig(engine="transformers", dtype="float32", max_new_tokens=6, batch_size=8, temperature=1.0)
MERGE = MergeConfig(shards=SHARDS, models={"tiny": {"settings": CONFIG.settings}})  # type: ignore[dict-item]


def _items() -> list[Item]:
    """Fourteen questions of ten groups, of very different lengths, each with its three openings."""
    made = []
    for k in range(14):
        stem = f"Question {k % 10} of a set" + " with more and more to read" * (k % 10) + "?"
        openings = dict(
            zip(OPENINGS, (f"Perhaps B, {k}.", "Hmm, B.", "I lean towards B, as it is common."), strict=True)
        )
        made.append(Item(f"q{k}", stem, {"A": "one", "B": "two", "C": "three"}, "A", "medqa", **openings))
    return made


@pytest.fixture(scope="module")
def made(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """items.parquet, whole.parquet and shard-K.parquet, all answered by the tiny model."""
    folder = tmp_path_factory.mktemp("shards")
    items = _items()
    write_items(items, folder / "items.parquet")
    evaluate(folder / "items.parquet", str(tiny_model), "tiny", CONFIG, folder / "whole.parquet")
    for number in range(SHARDS):
        write_items(shard(items, number, SHARDS), folder / "part.parquet")
        out = folder / f"shard-{number}.parquet"
        evaluate(folder / "part.parquet", str(tiny_model), "tiny", CONFIG, out)
    return folder


def _pieces(folder: Path) -> list[Path]:
    return [folder / f"shard-{number}.parquet" for number in range(SHARDS)]


def test_merged_shards_equal_an_unsharded_evaluation(made: Path, tmp_path: Path) -> None:
    evidence = merge(made / "items.parquet", [*reversed(_pieces(made))], MERGE, tmp_path)
    assert read_rows(tmp_path / "tiny.parquet") == read_rows(made / "whole.parquet")
    assert read_metadata(tmp_path / "tiny.parquet") == read_metadata(made / "whole.parquet")
    assert evidence["rows_out"] == evidence["models"]["tiny"]["rows"] == 14 * 4
    assert len({row["output"] for row in read_rows(made / "whole.parquet")}) > 10


@pytest.mark.parametrize("number", range(SHARDS))
def test_a_missing_shard_is_named_and_nothing_written(number: int, made: Path, tmp_path: Path) -> None:
    pieces = [piece for k, piece in enumerate(_pieces(made)) if k != number]
    with pytest.raises(StageError, match=rf"model tiny: \d+ of 56 answers are missing.*shard {number + 1} of 3"):
        merge(made / "items.parquet", pieces, MERGE, tmp_path)
    assert not (tmp_path / "tiny.parquet").exists()


def test_a_model_without_any_shard_is_missing(made: Path, tmp_path: Path) -> None:
    config = MergeConfig(shards=SHARDS, models={**MERGE.models, "other": MERGE.models["tiny"]})
    with pytest.raises(StageError, match="model other: 56 of 56 answers are missing"):
        merge(made / "items.parquet", _pieces(made), config, tmp_path)


Change = Callable[[list[dict[str, Any]], dict[str, str]], object]
CHANGES: dict[str, tuple[Change, type[Exception], str]] = {
    "one setting of one question": (lambda rows, _: rows.pop(5), StageError, "1 of 56 answers are missing"),
    "a row twice": (lambda rows, _: rows.append(rows[0]), StageError, "answered twice"),
    "another model's row": (lambda rows, _: rows[3].update(model="other"), StageError, "'other' among those of 'tiny'"),
    "a whole other model": (lambda rows, _: [r.update(model="x") for r in rows], StageError, "'x', who is none"),
    "a row not asked for": (lambda rows, _: rows.append({**rows[0], "item_id": "q99"}), StageError, "not asked.*q99"),
    "another engine": (lambda _, notes: notes.update(engine="vllm 0"), InputError, "engine: 'vllm 0', but"),
    "another prompt": (lambda _, notes: notes.update(prompt="m1:0"), InputError, "prompt: 'm1:0'"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_shard_that_does_not_fit_is_refused(case: str, made: Path, tmp_path: Path) -> None:
    change, error, told = CHANGES[case]
    first, second, third = _pieces(made)
    rows, notes = read_rows(second), read_metadata(second)
    change(rows, notes)
    write_rows(rows, tmp_path / "changed.parquet", notes)
    with pytest.raises(error, match=told):
        merge(made / "items.parquet", [first, tmp_path / "changed.parquet", third], MERGE, tmp_path / "out")
