"""Checkpoints in the store: only complete ones of the same training are continued, and only the newest is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.platform.storage import store
from components.training.checkpoints import Checkpoints, resume_key


@pytest.fixture
def in_s3(store_uri: str) -> Checkpoints:
    return Checkpoints(store_uri, "sft", "key-1", (("mix", "digest"),), "code-1")


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(str(tmp_path / "store"), "sft", "key-1", (("mix", "digest"),), "code-1")


def saved(tmp_path: Path, step: int) -> Path:
    folder = tmp_path / "trainer" / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights after %d steps" % step)
    (folder / "training_args.bin").write_bytes(b"a pickle")
    return folder


def stored(checkpoints: Checkpoints) -> list[str]:
    """Folders that hold something: SeaweedFS still lists a folder whose last object is gone."""
    return [name for name in store.list_children(checkpoints.uri) if store.list_children(f"{checkpoints.uri}/{name}")]


@pytest.mark.parametrize("where", ["checkpoints", "in_s3"])
def test_newest_is_found_and_older_ones_are_deleted(request: pytest.FixtureRequest, where: str, tmp_path: Path) -> None:
    checkpoints: Checkpoints = request.getfixturevalue(where)
    assert checkpoints.newest(tmp_path / "work") is None
    for step in (9, 10):  # 9 sorts after 10 as text
        checkpoints.put(saved(tmp_path, step), step)
    assert stored(checkpoints) == ["checkpoint-10"]
    found = checkpoints.newest(tmp_path / "work")
    assert found is not None and found[1] == 10
    assert (found[0] / "model.safetensors").read_bytes() == b"weights after 10 steps"
    assert not (found[0] / "training_args.bin").exists()
    manifest = store.read_manifest(f"{checkpoints.uri}/checkpoint-10")
    assert manifest is not None
    assert (manifest["stage"], manifest["key"], manifest["code"]) == ("sft", "key-1", "code-1")
    assert manifest["inputs"] == [["mix", "digest"]]


@pytest.mark.parametrize("point", ["upload", "manifest"])
def test_a_broken_upload_leaves_the_older_checkpoint(
    checkpoints: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    checkpoints.put(saved(tmp_path, 2), 2)
    monkeypatch.setenv("BIOMED_R1_FAULT", f"{point}:raise")
    with pytest.raises(RuntimeError, match="fault planted"):
        checkpoints.put(saved(tmp_path, 4), 4)
    monkeypatch.delenv("BIOMED_R1_FAULT")
    found = checkpoints.newest(tmp_path / "work")
    assert found is not None and found[1] == 2
    checkpoints.put(saved(tmp_path, 6), 6)
    assert stored(checkpoints) == ["checkpoint-6"]


@pytest.mark.parametrize("damage", ["flip a byte", "lose a file", "spoil the manifest", "lead out"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(
    checkpoints: Checkpoints, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    checkpoints.put(saved(tmp_path, 2), 2)
    other = replace(checkpoints, uri=str(tmp_path / "second"))
    other.put(saved(tmp_path, 4), 4)
    Path(other.uri, "checkpoint-4").rename(Path(checkpoints.uri, "checkpoint-4"))
    newest = Path(checkpoints.uri, "checkpoint-4")
    weights, manifest = newest / "model.safetensors", newest / "manifest.json"
    if damage == "flip a byte":
        weights.write_bytes(b"X" + weights.read_bytes()[1:])
    elif damage == "lose a file":
        weights.unlink()
    elif damage == "spoil the manifest":
        manifest.write_text("{")
    else:
        record = json.loads(manifest.read_text())
        record["files"][0]["path"] = "../model.safetensors"
        manifest.write_text(json.dumps(record))
    found = checkpoints.newest(tmp_path / "work")
    assert found is not None and found[1] == 2
    assert (found[0] / "model.safetensors").read_bytes() == b"weights after 2 steps"
    warning = capsys.readouterr().err
    assert "checkpoint-4" in warning and "passed over" in warning


def test_another_training_is_neither_continued_nor_deleted(
    checkpoints: Checkpoints, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints.put(saved(tmp_path, 5), 5)
    mine = replace(checkpoints, key="key-2")
    assert mine.newest(tmp_path / "work") is None
    assert "another recipe" in capsys.readouterr().err
    mine.put(saved(tmp_path, 6), 6)
    assert stored(checkpoints) == ["checkpoint-5", "checkpoint-6"]


def test_a_change_of_code_is_said_and_no_reason_to_start_over(
    checkpoints: Checkpoints, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints.put(saved(tmp_path, 5), 5)
    found = replace(checkpoints, code="code-2").newest(tmp_path / "work")
    assert found is not None and found[1] == 5
    assert "other code" in capsys.readouterr().err


def test_what_is_not_a_checkpoint_is_left_alone(checkpoints: Checkpoints, tmp_path: Path) -> None:
    for name in ("notes", "checkpoint-x", "old-checkpoint-3"):
        Path(checkpoints.uri, name).mkdir(parents=True)
        Path(checkpoints.uri, name, "file").touch()
    checkpoints.put(saved(tmp_path, 1), 1)
    assert stored(checkpoints) == ["checkpoint-1", "checkpoint-x", "notes", "old-checkpoint-3"]


configs = st.dictionaries(st.text(max_size=5), st.integers() | st.booleans() | st.text(max_size=5), max_size=4)


@given(configs, configs, st.text(max_size=4), st.text(max_size=4))
def test_the_key_names_config_and_inputs_and_nothing_else(first: dict, second: dict, mix: str, other: str) -> None:
    def key(config: dict, digest: str) -> str:
        return resume_key("sft", config, [("mix", digest)])

    assert key(first, mix) == key(dict(reversed(first.items())), mix)
    same = json.dumps([first, mix], sort_keys=True) == json.dumps([second, other], sort_keys=True)
    assert (key(first, mix) == key(second, other)) == same
    assert key(first, mix) != resume_key("grpo", first, [("mix", mix)])
