"""`pip install .` in an empty environment: small, without torch, kfp and pyarrow, and enough to score and to decide."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
LIMIT = 300 << 20  # bytes
SCRIPT = """
import biomed_r1, importlib.util
rows = [{"id": f"q{n}", "question": f"Number {n}?", "options": {"A": "x", "B": "y"}, "answer_idx": "AB"[n % 2],
         "dataset_name": "own", "is_reasoning": n % 3 == 0} for n in range(40)]
said = [{"model": m, "item_id": r["id"], "setting": s, "output": "Answer: " + (r["answer_idx"] if m == "new" else "A")}
        for m in ("old", "new") for r in rows for s in ("plain", "adversarial_0", "adversarial_1", "adversarial_2")]
print(len(biomed_r1.score(rows, said, draws=200)["cells"]), biomed_r1.decide(rows, said, "old", "new")["decision"])
print([name for name in ("torch", "kfp", "trl", "mlflow", "pyarrow", "kubernetes") if importlib.util.find_spec(name)])
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("core")
    source = folder / "source"
    for name in ("biomed_r1", "components", "pipelines"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    constraints = ["--constraint", ROOT / "constraints.txt"]
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", *constraints, source], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return python


def test_it_is_small(python: Path) -> None:
    size = sum(path.lstat().st_size for path in python.parents[1].rglob("*") if path.is_file())
    assert size < LIMIT, f"{size / 1e6:.0f} MB"


def test_it_scores_and_decides(python: Path, tmp_path: Path) -> None:
    done = subprocess.run([python, "-c", SCRIPT], capture_output=True, text=True, cwd=tmp_path)
    cells, decision = done.stdout.splitlines()[0].split()
    assert int(cells) > 20 and decision == "refuse", done.stderr
    assert done.stdout.splitlines()[1] == "[]"


def test_its_command_scores_text_files_and_says_what_parquet_needs(python: Path, tmp_path: Path) -> None:
    item = {"id": "q", "question": "Which?", "options": {"A": "x", "B": "y"}, "answer_idx": "A", "dataset_name": "own"}
    (tmp_path / "items.jsonl").write_text(json.dumps(item) + "\n")
    row = {"model": "m", "item_id": "q", "setting": "plain", "output": "Answer: A"}
    (tmp_path / "answers.jsonl").write_text(json.dumps(row) + "\n")
    command = [python.with_name("biomed-r1"), "score", "--items", "items.jsonl", "--out", "scores.json", "--answers"]
    done = subprocess.run([*command, "answers.jsonl"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "scores.json").is_file(), done.stderr
    (tmp_path / "answers.parquet").write_bytes(b"PAR1")
    done = subprocess.run([*command, "answers.parquet"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and "pip install pyarrow" in done.stderr
