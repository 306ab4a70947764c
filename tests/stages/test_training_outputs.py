"""`sft --out` and `--checkpoints`: what is not ours is refused before work, links and mounts are written into."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from components.errors import InputError
from components.platform.folders.marks import MARK
from components.platform.models import local_model, model_digest
from components.platform.tables import write_rows
from pipelines.cli.training import grpo_command, sft_command

Sft = Callable[..., Result]


@pytest.fixture
def sft(tiny_model: Path, tmp_path: Path) -> Sft:
    write_rows(
        [{"prompt": '[{"role": "user", "content": "Which metal?"}]', "opening": "", "completion": "B."}] * 2,
        tmp_path / "mix.parquet",
    )

    def run(out: str | Path, checkpoints: str | Path | None = None, command: Any = sft_command) -> Result:
        words = ["--mix", tmp_path / "mix.parquet", "--model", tiny_model, "--out", out]
        words += ["--checkpoints", checkpoints or tmp_path / "c", "--set", "max_steps=1", "--set", "device=cpu"]
        return CliRunner().invoke(command, [str(word) for word in words])

    return run


def refused(result: Result, words: str) -> None:
    assert isinstance(result.exception, InputError) and result.exception.exit_code == 2, result
    assert words in str(result.exception)


@pytest.mark.parametrize("command", [sft_command, grpo_command])
def test_notes_in_the_output_folder_are_refused_and_kept(sft: Sft, tmp_path: Path, command: Any) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    refused(sft(tmp_path / "out", command=command), "holds files that biomed-r1 did not write (notes.txt)")
    assert (tmp_path / "out/notes.txt").read_text() == "mine" and not (tmp_path / "c").exists()


@pytest.mark.parametrize("place", ["s3", "local"])
def test_a_plain_trainer_s_checkpoints_are_refused_and_kept(
    sft: Sft, tmp_path: Path, place: str, request: pytest.FixtureRequest
) -> None:
    from components.platform.storage import objects, store

    root = request.getfixturevalue("store_uri") if place == "s3" else str(tmp_path)
    (tmp_path / "w").write_text("mine")
    objects.put_file(tmp_path / "w", f"{root}/outputs/checkpoint-500/model.safetensors")
    refused(sft(tmp_path / "out", f"{root}/outputs"), "checkpoint-500: not written by biomed-r1")
    assert store.list_files(f"{root}/outputs") == ["checkpoint-500/model.safetensors"]
    assert not (tmp_path / "out").exists()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]).returncode:
        pytest.skip("mounting is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_link_to_a_mount_is_written_into_and_the_umask_holds(sft: Sft, tmp_path: Path, disk: Path) -> None:
    (tmp_path / "out").symlink_to(disk)
    before = os.umask(0o027)
    try:
        first = sft(tmp_path / "out")
        assert first.exit_code == 0, first
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in disk.iterdir() if path.name != MARK}
    assert set(modes.values()) == {0o640} and "model.safetensors" in modes, modes
    digest = model_digest(str(disk))
    (disk / "notes.txt").write_text("mine")
    (disk / MARK).with_name("x").symlink_to("notes.txt")
    assert sft(tmp_path / "out").exit_code == 0  # ours by now: its files are replaced, the others stay
    assert (tmp_path / "out").is_symlink() and os.path.ismount(disk)
    assert (disk / "notes.txt").read_text() == "mine" and (disk / "x").is_symlink()
    assert not [path for path in disk.iterdir() if path.name.startswith((".training", ".saving"))]
    (disk / "notes.txt").unlink()
    (disk / "x").unlink()
    assert model_digest(str(disk)) == digest  # the mark is no part of the model
    assert local_model(str(disk)) == disk


def test_the_working_folder_as_output(sft: Sft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert sft(".").exit_code == 0
    assert (tmp_path / "here/config.json").is_file()
    monkeypatch.chdir(tmp_path)
    refused(sft("."), "--out .: holds files that biomed-r1 did not write")
