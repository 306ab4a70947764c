"""What the exported inspect_ai task and verifiers environment read: a copy of this file is put beside both.

biomed-r1 has to be installed there; its core is enough. It is imported first, so that its own package `components` is
found also where the working folder has one of that name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import biomed_r1
from components.extraction import EXTRACTION_VERSION

QUESTIONS, MANIFEST = "questions.jsonl", "export.json"
# What vLLM and SGLang need to continue an assistant's message rather than begin a new one.
CONTINUE = {"add_generation_prompt": False, "continue_final_message": True}


def manifest() -> dict[str, Any]:
    """The export's record: settings, prompt, max_new_tokens, extraction.

    Raises InputError for an export of another extraction rule.
    """
    found: dict[str, Any] = json.loads(Path(__file__).with_name(MANIFEST).read_text(encoding="utf-8"))
    if found["extraction"] != EXTRACTION_VERSION:
        raise biomed_r1.InputError(
            f"{MANIFEST}: exported with extraction {found['extraction']}, and this biomed-r1 has {EXTRACTION_VERSION}; "
            "export again"
        )
    return found


def questions(stratum: str, benchmark: str, setting: str) -> list[dict[str, Any]]:
    """The rows of one stratum and benchmark (or `all`), each with the `messages` of `setting`.

    A row has id, stratum, benchmark, prompt, options {letter: text}, answer_idx, openings {setting: text}. After a
    prefill the last message is the assistant's. Raises InputError for an unknown setting and where nothing is left.
    """
    settings = manifest()["settings"]
    if setting not in settings:
        raise biomed_r1.InputError(f"setting: {setting!r} is not in this export; it has {', '.join(settings)}")
    # Not splitlines: U+2028 and its like stand inside a question as they are.
    lines = Path(__file__).with_name(QUESTIONS).read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    chosen = [r for r in rows if stratum in ("all", r["stratum"]) and benchmark in ("all", r["benchmark"])]
    if not chosen:
        known = {name: ", ".join(sorted({r[name] for r in rows})) for name in ("stratum", "benchmark")}
        raise biomed_r1.InputError(
            f"no question of stratum {stratum!r} and benchmark {benchmark!r}; strata: all, {known['stratum']}; "
            f"benchmarks: all, {known['benchmark']}"
        )
    return [row | {"messages": _messages(row, setting)} for row in chosen]


def _messages(row: Mapping[str, Any], setting: str) -> list[dict[str, str]]:
    asked = [{"role": "user", "content": row["prompt"]}]
    return asked if setting == "plain" else [*asked, {"role": "assistant", "content": row["openings"][setting]}]
