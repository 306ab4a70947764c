"""What the hub's cache on this machine holds whole needs no network; a snapshot, which is links, can be stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.errors import InputError
from components.platform import models
from components.platform.storage import store

COMMIT = "a" * 40


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """org/name at COMMIT in a cache as huggingface_hub lays it out; the hub itself is out of reach."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    folder = tmp_path / f"hub/models--org--name/snapshots/{COMMIT}"
    folder.mkdir(parents=True)
    index = {"weight_map": {"x": "model-1.safetensors", "y": "model-2.safetensors"}}
    for name in ("config.json", "tokenizer_config.json", "model-1.safetensors", "model-2.safetensors"):
        add(folder, name, name)
    add(folder, "model.safetensors.index.json", json.dumps(index))
    return folder


def add(folder: Path, name: str, text: str) -> None:
    blob = folder.parents[1] / "blobs" / name
    blob.parent.mkdir(exist_ok=True)
    blob.write_text(text)
    (folder / name).symlink_to(f"../../blobs/{name}")


def test_a_whole_cached_model_needs_no_network(snapshot: Path) -> None:
    models.check_reference(f"hf:org/name@{COMMIT}")
    assert models.local_model(f"hf:org/name@{COMMIT}") == snapshot


@pytest.mark.parametrize("missing", ["config.json", "tokenizer_config.json", "model-2.safetensors"])
def test_a_part_of_one_does(snapshot: Path, missing: str) -> None:
    (snapshot.parents[1] / "blobs" / missing).unlink()
    with pytest.raises(InputError, match="the hub did not give it"):
        models.check_reference(f"hf:org/name@{COMMIT}")


def test_a_cached_data_set_does_where_the_hub_is_away(snapshot: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the hub did not give it"):
        models.check_hub_dataset("org/name", COMMIT)
    folder = tmp_path / f"hub/datasets--org--name/snapshots/{COMMIT}/data"
    folder.mkdir(parents=True)
    (folder / "train.parquet").write_bytes(b"x")
    models.check_hub_dataset("org/name", COMMIT)


def test_a_snapshot_of_links_is_stored_as_the_files(snapshot: Path, tmp_path: Path) -> None:
    uri = str(tmp_path / "store/model")
    store.put_dir(snapshot, uri, stage="inputs", key="k", links=True)
    store.get_dir(uri, tmp_path / "back")
    assert (tmp_path / "back/config.json").read_text() == "config.json"
    assert not any(path.is_symlink() for path in (tmp_path / "back").iterdir())
    (snapshot.parents[1] / "blobs/config.json").unlink()
    with pytest.raises(InputError, match="is a link to no file"):
        store.put_dir(snapshot, uri, stage="inputs", key="k", links=True)


@pytest.mark.parametrize("name", ["manifest.json", "a\\b.safetensors", "x\udcff.json"])
def test_a_name_that_cannot_be_read_back_is_refused_before_anything_is_stored(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for each in ("config.json", name):
        (folder / each).write_text("{}")
    with pytest.raises(InputError, match="rename it or leave it out"):
        store.put_dir(folder, str(tmp_path / "stored"), stage="inputs", key="k")
    assert not (tmp_path / "stored").exists()
    (folder / name).unlink()
    (folder / "below").mkdir()
    (folder / "below/manifest.json").write_text("{}")
    store.put_dir(folder, str(tmp_path / "stored"), stage="inputs", key="k")
