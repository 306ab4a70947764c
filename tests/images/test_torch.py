"""Which build of torch is installed: real pip, two real indexes on loopback, one of them away."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AWAY = "http://127.0.0.1:9/simple"


def wheel(folder: Path, version: str) -> None:
    """A wheel named torch that holds a file of its version."""
    folder.mkdir(parents=True)
    info = f"torch-{version}.dist-info"
    files = {
        "torch/version.py": f"__version__ = '{version}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(folder / f"torch-{version}-py3-none-any.whl", "w") as archive:
        lines = []
        for name, text in files.items():
            archive.writestr(name, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            lines.append(f"{name},sha256={digest},{len(text)}\n")
        archive.writestr(f"{info}/RECORD", "".join([*lines, f"{info}/RECORD,,\n"]))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def index(folder: Path, version: str) -> Iterator[str]:
    wheel(folder / "torch", version)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("build", "answers", "taken", "says"),
    [
        ("cpu", True, "9.0.0+cpu", "torch 9.0.0: the CPU build, from http://127.0.0.1:"),
        ("cpu", False, "9.0.0", f"torch 9.0.0: from pip's own index, since {AWAY} did not give it; that may be a CUDA"),
        ("cuda", True, None, "torch 9.0.0: the CUDA build, with its libraries (3 GB); TORCH=cpu takes the CPU build"),
        ("rocm", True, None, "TORCH=rocm: write cpu or cuda"),
    ],
)
def test_pytorchs_own_index_first_then_pips(
    tmp_path: Path, build: str, answers: bool, taken: str | None, says: str
) -> None:
    with index(tmp_path / "cpu", "9.0.0+cpu") as cpu, index(tmp_path / "usual", "9.0.0") as usual:
        done = subprocess.run(
            [ROOT / "images/torch", build, "9.0.0", cpu if answers else AWAY, sys.executable, "-m", "pip"],
            env={**os.environ, "PIP_INDEX_URL": usual, "PIP_TARGET": str(tmp_path / "site"), "PIP_NO_CACHE_DIR": "1",
                 "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_CONFIG_FILE": os.devnull},
            capture_output=True,
            text=True,
        )  # fmt: skip
    assert says in done.stdout + done.stderr and len((done.stdout + done.stderr).splitlines()) == 1
    assert done.returncode == (2 if build == "rocm" else 0)
    found = tmp_path / "site/torch/version.py"
    assert (found.read_text() if found.is_file() else None) == (f"__version__ = '{taken}'\n" if taken else None)


def test_the_front_door_says_size_and_minutes_before_it_begins() -> None:
    def dry(*arguments: str) -> list[str]:
        done = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    lines = dry("-W", "pyproject.toml", "run", "VENV=/nowhere", "TORCH=cuda")
    told = [line for line in lines if line.startswith("echo")]
    texts = [text for text in told if "minutes" in text]
    assert all("GB" in text for text in texts) and len(texts) == 2
    assert [text[6:12] for text in told if " of 3: " in text] == ["1 of 3", "2 of 3", "3 of 3"]
    installs = [n for n, line in enumerate(lines) if "images/torch cuda" in line or "--editable" in line]
    assert lines.index(texts[0]) < installs[0] < installs[1] < lines.index(texts[1])


@pytest.mark.parametrize(
    ("given", "driver", "taken"),
    [
        ([], True, "cuda"),
        ([], False, "cpu"),
        (["TORCH="], True, "cuda"),
        (["TORCH= "], False, "cpu"),
        (["TORCH=cpu", "TORCH_CPU_INDEX="], True, "cpu"),
        (["PYTHON="], False, "cpu"),
    ],
)
def test_a_driver_chooses_unless_somebody_does(tmp_path: Path, given: list[str], driver: bool, taken: str) -> None:
    """A variable that is set to nothing is not set."""
    (tmp_path / "driver").touch()
    seen = str(tmp_path / ("driver" if driver else "none"))
    environment = {**os.environ, **dict(text.split("=") for text in given)}
    for variables, extra in ((environment, []), (dict(os.environ), given)):
        done = subprocess.run(
            ["make", "-n", "-W", "pyproject.toml", "install", "VENV=/nowhere", f"DRIVER={seen}", *extra],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env=variables,
        )
        line = next(text for text in done.stdout.splitlines() if text.startswith("images/torch"))
        assert line.split()[1] == taken and "https://download.pytorch.org/whl/cpu" in line.split(), done.stdout
        assert "python3" in next(text for text in done.stdout.splitlines() if text.endswith("-m venv /nowhere"))
