"""vLLM for real, in a process of its own: it changes the process it is loaded into."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed"),
]

# The answers of both engines to the same requests, and what vLLM leaves of itself in the process.
COMPARE = """
import json, sys, threading
from pathlib import Path
import psutil, torch
from components.engines.base import Request, Sampling
from components.engines.choice import load_engine
folder, questions = Path(sys.argv[1]), json.loads(sys.argv[2])
asked = [Request(q, (("user", q),), o) for q in questions for o in ("The answer is", "I think the answer is")]
before, result = torch.set_num_threads, {}
for name in ("transformers", "vllm"):
    engine = load_engine(name, folder, "float32", too_long="no_answer")
    answers = dict(engine.generate(asked, Sampling(6)))
    again = dict(engine.generate(asked[:2], Sampling(6, temperature=0.8)))
    same = dict(engine.generate(asked[:2], Sampling(6, temperature=0.8)))
    long = dict(engine.generate([Request("long", (("user", "word " * 9000),)), asked[0]], Sampling(6)))
    result[name] = {
        "long": [(long[i].text, long[i].finish_reason) for i in range(2)],
        "texts": [answers[i].text for i in range(len(asked))],
        "counts": [(answers[i].prompt_tokens, answers[i].output_tokens, answers[i].finish_reason) for i in answers],
        "repeats": again == same,
    }
    result[name]["counts"].sort()
    result[name]["picked"] = engine.pick(asked, [("A", "B", "C", "D")] * len(asked))
    engine.close()
result["children"] = len(psutil.Process().children(recursive=True))
result["threads function kept"] = torch.set_num_threads is before
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def compared(smollm: Path) -> dict[str, Any]:
    from components.platform.tables import read_items

    samples = Path(str(find_spec("components.samples").submodule_search_locations[0])) / "benchmarks"  # type: ignore
    questions = [item.question for path in sorted(samples.glob("*.jsonl")) for item in read_items(path)[:1]]
    done = subprocess.run(
        [sys.executable, "-c", COMPARE, str(smollm), json.dumps(questions)], capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_both_engines_write_the_same_in_float32(compared: dict[str, Any]) -> None:
    pairs = list(zip(compared["transformers"]["texts"], compared["vllm"]["texts"], strict=True))
    differ = [pair for pair in pairs if pair[0] != pair[1]]
    assert len(pairs) == 22
    assert len(differ) <= 1, differ


def test_both_engines_pick_the_same_letters(compared: dict[str, Any]) -> None:
    assert compared["transformers"]["picked"] == compared["vllm"]["picked"]
    assert set(compared["vllm"]["picked"]) <= set("ABCD")


def test_both_engines_count_alike(compared: dict[str, Any]) -> None:
    assert compared["transformers"]["counts"] == compared["vllm"]["counts"]


def test_both_leave_out_what_is_too_long_and_answer_the_rest(compared: dict[str, Any]) -> None:
    for name in ("transformers", "vllm"):
        left_out, answered = compared[name]["long"]
        assert left_out == ["", "too_long"] and answered[0] == compared[name]["texts"][0]


def test_sampling_repeats_with_its_seed(compared: dict[str, Any]) -> None:
    assert compared["transformers"]["repeats"] and compared["vllm"]["repeats"]


def test_close_leaves_the_process_as_it_was(compared: dict[str, Any]) -> None:
    assert compared["children"] == 0
    assert compared["threads function kept"]


def test_evaluate_with_vllm_writes_every_row_and_leaves_no_process(smollm: Path, tmp_path: Path) -> None:
    """The command; its process group is empty when it has ended."""
    items = tmp_path / "items.jsonl"
    options = {"A": "gout", "B": "scurvy", "C": "rickets", "D": "beriberi"}
    rows = [
        {
            "id": f"q{i}",
            "question": f"What is case {i}?",
            "options": options,
            "answer_idx": "B",
            "dataset_name": "medqa",
        }
        | {f"adversarial_trace_{k}": f"Hmm, maybe {letter}." for k, letter in enumerate("ACD")}
        for i in range(3)
    ]
    items.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    command = ["evaluate", "--model", str(smollm), "--items", str(items), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", *command, "--engine", "vllm", "--set", "max_new_tokens=8"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output[-3000:]
    assert (tmp_path / "out" / "answers.parquet").is_file()
    assert len(output.splitlines()) < 25, output
    left = [p for p in psutil.process_iter() if _group(p.pid) == process.pid]
    assert not left, left


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
