"""Tables and sentences at the widths that people have: no name and no figure is cut, and a pipe gets tabs."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from components.platform import events
from components.platform.screen.tables import Column, Screen, columns
from pipelines.local.estimate import SHIPPED, estimate, in_words
from pipelines.local.progress import Progress
from pipelines.local.summary import gate_lines, print_summary
from pipelines.settings.recipes import load_any_recipe
from pipelines.settings.tasks import expected

NAME = "organisation/a-model-with-a-very-long-name-0528"
FIGURE = "-41.2 (-47.7 to -35.0)"
HEAD = [*columns("model", "setting"), Column("accuracy", figure=True), Column("why", words=True)]


def shown(width: int, head: list[Column], rows: list[list[str]]) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    Screen(console).table("A title", head, rows)
    return console.export_text()


@pytest.mark.parametrize("width", [30, 40, 80, 120])
def test_names_and_figures_stay_whole(width: int) -> None:
    text = shown(
        width, HEAD, [[NAME, "plain", FIGURE, "Because of many words that may go on below."], ["b", "c", "1", ""]]
    )
    assert "…" not in text and FIGURE in text and NAME in text
    assert ("┃" in text) == (width == 120)
    assert all(cell_len(line) <= width for line in text.splitlines() if NAME not in line and FIGURE not in line)


@given(
    width=st.integers(20, 140),
    rows=st.lists(
        st.tuples(*[st.text("ab-0.5", min_size=1, max_size=30)] * 3, st.text("word s", max_size=90)), min_size=1
    ),
)
def test_whatever_the_cells_they_are_whole(width: int, rows: list[tuple[str, ...]]) -> None:
    text = shown(width, HEAD, [list(row) for row in rows])
    for row in rows:
        assert all(cell in text for cell in row[:3])
        assert all(word in text for word in row[3].split())


def test_what_there_is_no_room_for_stands_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    head = [*columns("a"), Column("b", extra=True)]
    assert "2" not in shown(40, head, [["1", "2"]]) and "2" in shown(120, head, [["1", "2"]])
    piped = io.StringIO()
    monkeypatch.setattr(sys, "stdout", piped)
    Screen().table("A title", head, [["1\t1", "2\n2"]])
    Screen().pairs([("report", "/a/b c"), ("model", "")])
    Screen().say("A sentence that is longer than any terminal " * 9)
    lines = piped.getvalue().splitlines()
    assert lines[:5] == ["# A title", "a\tb", "1 1\t2 2", "report\t/a/b c", "model"] and len(lines) == 6


def test_an_address_is_never_broken() -> None:
    console = Console(width=40, record=True, file=io.StringIO())
    address = "http://127.0.0.1:5000/#/experiments/1/runs/162c7693e0cf4f0badef2ef4e3f30bbb"
    Screen(console).pairs([("report", "/tmp/r.html"), ("MLflow", address)])
    Screen(console).say(f"It is at {address} and nowhere else.")
    assert console.export_text().count(address) == 2


def run_summary(decision: str) -> dict[str, object]:
    cell = {"model": NAME, "setting": "plain", "stratum": "all", "benchmark": "all", "n": 9}
    cell |= {"accuracy": 1 / 3, "ci_low": 0.12, "ci_high": 0.65}
    gate = {"decision": decision, "candidate": "grpo", "baseline": "base", "look": 1, "reasons": []}
    return {
        "scores": {"cells": [cell]}, "gate": gate, "model_version": "3", "report": "/r.html", "mlflow_run_url": None,
        "s3_prefix": "s3://b/s", "promotion": {"version": "3", "outcome": "refused", "reasons": []},
    }  # fmt: skip


def test_a_refusal_says_what_it_means_and_why_the_version_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(run_summary("refuse"))
    out = capsys.readouterr().out
    assert f"{NAME}\tplain\tall\t33.3 (12.0 to 65.0)\t9" in out.splitlines()
    assert "what serves stays. Version 3 is registered all the same, so that" in out
    assert len(gate_lines(run_summary("promote"))) == 1


def recorded(folder: Path, name: str, spans: dict[str, float], reused: bool = False) -> Path:
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(json.dumps({"name": name}))
    now, lines = 1000.0, []
    for task, seconds in spans.items():
        lines.append({"time": now + 1, "task": task, "state": "started"})
        now += seconds
        lines.append({"time": now, "task": task, "state": "finished", "seconds": seconds - 1, "reused": reused})
    (folder / events.FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_the_rest_of_a_run_comes_from_earlier_runs_or_from_the_shipped_times(tmp_path: Path) -> None:
    tasks = expected(load_any_recipe("demo", (), None))
    first = estimate("demo", tasks, tmp_path)
    assert first.source == "by times measured on 2 cores" and first.left(tasks) == sum(SHIPPED["demo"].values())
    recorded(tmp_path / "a", "other", {"ingest": 500})
    recorded(tmp_path / "b", "demo", {"ingest": 500}, reused=True)
    recorded(tmp_path / "c", "demo", {"ingest": 100, "classify": 60})
    both = estimate("demo", tasks, tmp_path)
    assert both.source == "by earlier runs on this machine and times measured on 2 cores"
    assert both.seconds["classify"] == 60 and both.seconds["sft"] == SHIPPED["demo"]["sft"]
    assert both.left(["classify", "sft"], "classify", 20) == 40 + SHIPPED["demo"]["sft"]
    assert both.left(["classify"], "classify", 300) == 0
    recorded(tmp_path / "d", "mine", {"a": 10, "b": 20})
    mine = estimate("mine", ["b", "a"], tmp_path)
    assert mine.source == "by earlier runs of mine on this machine" and mine.left(["b"]) == 20
    assert estimate("mine", ["a", "b", "c"], tmp_path).left(["a"]) is None
    assert [in_words(seconds) for seconds in (4.4, 130, 9000)] == ["4 s", "2 min", "2.5 h"]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_times_are_of_the_recipes_tasks(name: str) -> None:
    assert set(SHIPPED[name]) == set(expected(load_any_recipe(name, (), None)))


def test_tasks_are_counted_as_they_end_and_one_with_nothing_to_do_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="pipelines.local.progress")
    tasks = ["evaluate-base", "evaluate-sft", "evaluate-champion"]
    recorded(tmp_path / "old", "demo", dict.fromkeys(tasks, 40.0))
    folder = recorded(tmp_path / "new", "other", {"evaluate-sft": 81})
    progress = Progress(folder, tasks, estimate("demo", tasks, tmp_path))
    progress.update()
    with (folder / events.FILE).open("a") as file:
        ended = {"time": 2.0, "task": "evaluate-champion", "state": "finished", "seconds": 0.4, "reused": False}
        file.write(json.dumps({**ended, "note": "no champion"}) + "\n")
    progress.update()
    progress.close()
    # Twice as slow as before, so the rest is expected to be too, until the next task is quick.
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("[1/3] evaluate-sft") and first.endswith("about 3 min left")
    assert second.startswith("[2/3] evaluate-champion") and "0.4 s  no champion  about 39 s left" in second
