"""Serving's init container: a whole model or none, from the cache where that holds it, against a real S3."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from components.platform.storage import objects, store


def _model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(os.urandom(1 << 16))
    return folder


@pytest.fixture
def stored(store_uri: str, tmp_path: Path) -> str:
    """The URI of a model in the store."""
    store.put_dir(_model(tmp_path / "source"), f"{store_uri}/model", stage="grpo", key="k")
    return f"{store_uri}/model"


def test_a_model_is_fetched_whole(script: Callable[..., int], stored: str, tmp_path: Path) -> None:
    source, link = tmp_path / "source", tmp_path / "models/model"
    assert script("fetch_model.py", stored, tmp_path / "cache/models", link) == 0
    names = ["config.json", "model.safetensors"]
    assert [(link / n).read_bytes() for n in names] == [(source / n).read_bytes() for n in names]


def test_a_pod_that_starts_again_downloads_nothing(
    script: Callable[..., int], stored: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, link = tmp_path / "cache", tmp_path / "models/model"
    assert script("fetch_model.py", stored, cache, link) == 0
    objects.delete(f"{stored}/model.safetensors")  # a second download would fail
    link.unlink()  # the new pod's
    assert script("fetch_model.py", stored, cache, link) == 0
    assert "in the cache" in capsys.readouterr().out
    assert (link / "model.safetensors").read_bytes() == (tmp_path / "source/model.safetensors").read_bytes()


def test_what_rotted_in_the_cache_is_fetched_again(
    script: Callable[..., int], stored: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, link = tmp_path / "cache", tmp_path / "models/model"
    assert script("fetch_model.py", stored, cache, link) == 0
    file = link / "model.safetensors"
    file.write_bytes(bytes(file.stat().st_size))
    assert script("fetch_model.py", stored, cache, link) == 0
    assert "differs from the manifest" in capsys.readouterr().out
    assert file.read_bytes() == (tmp_path / "source/model.safetensors").read_bytes()


def test_the_cache_keeps_two_models_and_no_rubbish(
    script: Callable[..., int], stored: str, store_uri: str, tmp_path: Path
) -> None:
    cache, link = tmp_path / "cache", tmp_path / "models/model"
    (cache / "0123.partial-17").mkdir(parents=True)
    places = []
    for number in range(3):
        uri = f"{store_uri}/model-{number}"
        store.put_dir(tmp_path / "source", uri, stage="grpo", key="k")
        assert script("fetch_model.py", uri, cache, link) == 0
        places.append(link.resolve())
        os.utime(places[-1], (number, number))
    assert sorted(cache.iterdir()) == sorted(places[1:])


def test_a_damaged_model_is_not_served(
    script: Callable[..., int], stored: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    (source / "model.safetensors").write_bytes(os.urandom(1 << 16))
    objects.put_file(source / "model.safetensors", f"{stored}/model.safetensors")
    assert script("fetch_model.py", stored, tmp_path / "cache", tmp_path / "models/model") == 1
    assert "model.safetensors: differs from its manifest" in capsys.readouterr().out
    assert not (tmp_path / "models/model").exists()
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize(("uri", "message"), [("", "name the S3 URI"), ("models:/biomed-r1@champion", "name the S3")])
def test_what_is_no_s3_uri_is_refused(
    script: Callable[..., int], uri: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script("fetch_model.py", uri, tmp_path / "cache", tmp_path / "model") == 1
    assert message in capsys.readouterr().out


def test_a_directory_without_weights_is_refused(
    script: Callable[..., int], store_uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = _model(tmp_path / "source")
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    store.put_dir(source, f"{store_uri}/model", stage="grpo", key="k")
    assert script("fetch_model.py", f"{store_uri}/model", tmp_path / "cache", tmp_path / "model") == 1
    assert "no safetensors among config.json, pytorch_model.bin" in capsys.readouterr().out
