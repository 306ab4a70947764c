"""examples/operate: its commands are ones that we have; `make demo-ops` runs them (docs/demo-ops.md)."""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from doc_commands import ROOT

from pipelines.cli.main import VERBS


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.setenv("BIOMED_R1_DEMO_HOME", str(tmp_path))
    spec = importlib.util.spec_from_file_location("demo_ops", ROOT / "examples/operate/demo_ops.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_command_is_read_as_it_stands(demo: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def parse(words: Sequence[str], **_: Any) -> subprocess.CompletedProcess[str]:
        command = getattr(importlib.import_module(f"pipelines.cli.{VERBS[words[0]][0]}"), f"{words[0]}_command")
        context = command.make_context(words[0], list(words[1:]))
        if rest := [*context.protected_args, *context.args]:
            command.get_command(context, rest[0]).make_context(rest[0], rest[1:], parent=context)
        if "--json" in words:
            Path(words[words.index("--json") + 1]).write_text(json.dumps({"model_version": "1"}))
        read.append(words[0])
        return subprocess.CompletedProcess([], 0, "", "")

    monkeypatch.setattr(demo, "_call", parse)
    monkeypatch.setattr(demo, "say", lambda *words, exits=0: parse(words))
    monkeypatch.setattr(demo, "_register_bad", lambda run: "3")
    monkeypatch.setattr(demo.time, "sleep", lambda seconds: None)
    demo._round()
    assert read.count("run") == 2 and {"models", "promote", "serve", "deploy", "rollback", "gc"} <= set(read)


def test_servers_that_do_not_start_end_it_at_once(demo: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_call", lambda words: subprocess.CompletedProcess([], 1, "", "no room on the disk"))
    with pytest.raises(SystemExit, match=r"(?s)up ended with 1.*no room"):
        demo._servers()
