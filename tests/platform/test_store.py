"""The store on a real S3 server and on local folders: a manifest makes a directory exist, and nothing else does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.errors import InputError
from components.platform.storage import objects, store


@pytest.fixture(params=["s3", "local"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    root = request.getfixturevalue("store_uri") if request.param == "s3" else str(tmp_path / "store")
    return f"{root}/thing"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    (made / "sub").mkdir(parents=True)
    (made / "a.txt").write_text("alpha")
    (made / "sub" / "b.bin").write_bytes(bytes(range(256)) * 50_000)  # past the multipart threshold
    return made


def put(folder: Path, uri: str) -> dict[str, Any]:
    return store.put_dir(folder, uri, stage="test", key="k", inputs=[("mix", "d")], code="c")


def test_round_trip(folder: Path, uri: str, tmp_path: Path) -> None:
    manifest = put(folder, uri)
    assert [f["path"] for f in manifest["files"]] == ["a.txt", "sub/b.bin"]
    assert store.read_manifest(uri) == manifest
    store.get_dir(uri, tmp_path / "back")
    assert (tmp_path / "back/sub/b.bin").read_bytes() == (folder / "sub/b.bin").read_bytes()
    assert store.list_children(uri) == ["a.txt", "manifest.json", "sub"]


def test_equal_directories_have_equal_digests(folder: Path, uri: str) -> None:
    first = store.manifest_digest(put(folder, uri))
    assert store.manifest_digest(put(folder, f"{uri}-again")) == first
    (folder / "a.txt").write_text("beta")
    assert store.manifest_digest(put(folder, f"{uri}-changed")) != first


def test_without_a_manifest_there_is_nothing(folder: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload that dies before its manifest leaves files, and no directory."""
    monkeypatch.setenv("BIOMED_R1_FAULT", "manifest:raise")
    with pytest.raises(RuntimeError, match="planted"):
        put(folder, uri)
    assert "a.txt" in store.list_children(uri)
    assert not store.exists(uri)
    with pytest.raises(InputError, match=r"no manifest\.json"):
        store.get_dir(uri, folder.parent / "back")


def test_one_changed_byte_is_found_and_named(folder: Path, uri: str, tmp_path: Path) -> None:
    put(folder, uri)
    data = bytearray((folder / "sub/b.bin").read_bytes())
    data[12_345] ^= 1
    (tmp_path / "bad").write_bytes(data)
    objects.put_file(tmp_path / "bad", f"{uri}/sub/b.bin")
    with pytest.raises(InputError, match=r"sub/b\.bin: differs from its manifest"):
        store.get_dir(uri, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    with pytest.raises(InputError, match=r"sub/b\.bin"):
        store.get_file(uri, "sub/b.bin", tmp_path / "one")
    assert not (tmp_path / "one").exists()


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", "", "a\\..\\b"])
def test_a_manifest_that_leads_out_is_refused(folder: Path, uri: str, tmp_path: Path, path: str) -> None:
    manifest = put(folder, uri)
    manifest["files"][0]["path"] = path
    store.put_json(f"{uri}/manifest.json", manifest)
    with pytest.raises(InputError, match="leads out"):
        store.get_dir(uri, tmp_path / "back")


def test_a_newer_schema_is_refused(folder: Path, uri: str) -> None:
    manifest = {**put(folder, uri), "schema_version": 2}
    store.put_json(f"{uri}/manifest.json", manifest)
    with pytest.raises(InputError, match="upgrade"):
        store.read_manifest(uri)


def test_links_are_not_stored(folder: Path, uri: str) -> None:
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="is a link"):
        put(folder, uri)
    assert not store.exists(uri)


def test_deleted_is_gone(folder: Path, uri: str) -> None:
    put(folder, uri)
    store.delete_prefix(uri)
    assert store.list_files(uri) == []


def test_a_missing_file_is_named(folder: Path, store_uri: str, tmp_path: Path) -> None:
    manifest = put(folder, f"{store_uri}/x")
    manifest["files"].append({"path": "ghost", "size": 1, "sha256": "0"})
    store.put_json(f"{store_uri}/x/manifest.json", manifest)
    with pytest.raises(InputError, match="ghost: missing"):
        store.get_dir(f"{store_uri}/x", tmp_path / "back")


def test_json_that_is_not(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        store.get_json(str(tmp_path / "x.json"))
    store.put_json(str(tmp_path / "y.json"), {"a": 1})
    assert json.loads((tmp_path / "y.json").read_text()) == {"a": 1}
