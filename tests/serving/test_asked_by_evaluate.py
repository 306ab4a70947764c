"""Our own endpoint asked by our own `evaluate`: an opening is gone on after, and what is too long is told as such."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from own_endpoint import served

from components.errors import StageError
from components.platform.tables import read_rows, write_items
from components.questions.items import Item
from components.serving.endpoint.writer import Writer
from components.stages.evaluate import EvaluateConfig, evaluate

OPTIONS = {"A": "gout", "B": "scurvy"}
OPENINGS = {f"adversarial_trace_{k}": f"Perhaps it is gout, number {k}." for k in range(3)}
ASKED: dict[str, Any] = {"max_new_tokens": 8, "probe_percent": 0}


@pytest.fixture(scope="module")
def address(tiny_model: Path) -> Iterator[str]:
    writer = Writer(tiny_model, "float32")
    writer.max_context = 400
    with served(writer, "m") as url:
        yield f"{url}/v1"


@pytest.fixture
def items(tmp_path: Path) -> Path:
    """A short question, and one whose own words fill the context."""
    made = [
        Item(name, text, OPTIONS, "B", "d", **OPENINGS) for name, text in (("short", "Why?"), ("long", "So? " * 400))
    ]
    write_items(made, tmp_path / "items.parquet")
    return tmp_path / "items.parquet"


@pytest.mark.parametrize("mode", ["continued", "two_turn"])
@pytest.mark.parametrize("settings", ["plain", "adversarial"])
def test_a_question_that_is_too_long_is_counted_in_every_condition(
    address: str, items: Path, tmp_path: Path, mode: str, settings: str
) -> None:
    asked = {**ASKED, "base_url": address, "prefill_mode": mode, "settings": settings}
    with pytest.raises(StageError, match=r"does not fit the endpoint's context.*too_long=no_answer"):
        evaluate(items, "openai:m", "m", EvaluateConfig(**asked), tmp_path / "a.parquet")
    evidence = evaluate(items, "openai:m", "m", EvaluateConfig(**asked, too_long="no_answer"), tmp_path / "a.parquet")
    ends = {(row["item_id"], row["setting"]): row["finish_reason"] for row in read_rows(tmp_path / "a.parquet")}
    assert {place for place, end in ends.items() if end == "too_long"} == {p for p in ends if p[0] == "long"}
    assert evidence["too_long"] == len(ends) // 2 == (1 if settings == "plain" else 3)


def test_the_endpoint_goes_on_after_an_opening_as_the_model_does_here(
    address: str, items: Path, tmp_path: Path, tiny_model: Path
) -> None:
    asked = {**ASKED, "settings": "adversarial", "too_long": "no_answer", "max_context": 400, "dtype": "float32"}
    there = EvaluateConfig(**asked, base_url=address, prefill_mode="continued")
    evaluate(items, "openai:m", "m", there, tmp_path / "there.parquet")
    evaluate(items, str(tiny_model), "m", EvaluateConfig(**asked, engine="transformers"), tmp_path / "here.parquet")
    same = ("item_id", "setting", "output", "prefill", "extracted", "finish_reason")
    rows = [[[row[name] for name in same] for row in read_rows(tmp_path / f"{w}.parquet")] for w in ("there", "here")]
    assert rows[0] == rows[1]


def test_an_opening_that_is_none_is_refused(address: str) -> None:
    messages = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So"}]
    for body in (
        {"messages": messages, "continue_final_message": True},  # and a generation prompt, which is the default
        {"messages": messages[:1], "continue_final_message": True, "add_generation_prompt": False},
        {"messages": messages[1:], "continue_final_message": True, "add_generation_prompt": False},
    ):
        answer = httpx.post(f"{address}/chat/completions", json=body, trust_env=False)
        assert answer.status_code == 400, answer.text
