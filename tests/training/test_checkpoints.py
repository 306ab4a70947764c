"""Checkpoints in the store: only complete ones of the same training are continued, the newest two and the best kept."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from faulty_proxy import Answer, Asked, proxy, s3_error
from hypothesis import given
from hypothesis import strategies as st

from components.errors import DamagedError, NewerSchemaError, UnavailableError
from components.platform.storage import s3, store
from components.training.checkpoints import Checkpoints, forget, resume_key
from components.training.saving.lease import OvertakenError


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
    folder = checkpoints.folder
    return [name for name in store.list_children(folder) if store.list_children(f"{folder}/{name}")]


@pytest.mark.parametrize("where", ["checkpoints", "in_s3"])
def test_newest_is_found_and_older_ones_are_deleted(request: pytest.FixtureRequest, where: str, tmp_path: Path) -> None:
    checkpoints: Checkpoints = request.getfixturevalue(where)
    assert checkpoints.newest(tmp_path / "work") is None
    for step in (8, 9, 10):  # 9 sorts after 10 as text
        checkpoints.put(saved(tmp_path, step), step)
    assert stored(checkpoints) == ["checkpoint-10-1", "checkpoint-9-1"]
    found = checkpoints.newest(tmp_path / "work")
    assert found is not None and found[1] == 10
    assert (found[0] / "model.safetensors").read_bytes() == b"weights after 10 steps"
    assert not (found[0] / "training_args.bin").exists()
    manifest = store.read_manifest(f"{checkpoints.folder}/checkpoint-10-1")
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
    # The broken one of step 4 is gone with it.
    assert stored(checkpoints) == ["checkpoint-2-1", "checkpoint-6-2"]


@pytest.mark.parametrize("damage", ["flip a byte", "lose a file", "spoil the manifest", "lead out"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(
    checkpoints: Checkpoints, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    checkpoints.put(saved(tmp_path, 2), 2)
    checkpoints.put(saved(tmp_path, 4), 4)
    newest = Path(checkpoints.folder, "checkpoint-4-1")
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
    checkpoints.put(saved(tmp_path, 3), 3)  # the damaged one counts no more
    assert stored(checkpoints) == ["checkpoint-2-1", "checkpoint-3-2"]
    found = checkpoints.newest(tmp_path / "work")
    assert found is not None and found[1] == 3


def test_another_training_is_neither_continued_nor_deleted(
    checkpoints: Checkpoints, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints.put(saved(tmp_path, 5), 5)
    mine = replace(checkpoints, key="key-2")
    assert mine.newest(tmp_path / "work") is None
    assert "another recipe" in capsys.readouterr().err
    mine.put(saved(tmp_path, 6), 6)
    assert (stored(checkpoints), stored(mine)) == (["checkpoint-5-1"], ["checkpoint-6-1"])


def test_a_change_of_code_is_said_and_no_reason_to_start_over(
    checkpoints: Checkpoints, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints.put(saved(tmp_path, 5), 5)
    found = replace(checkpoints, code="code-2").newest(tmp_path / "work")
    assert found is not None and found[1] == 5
    assert "other code" in capsys.readouterr().err


def test_what_is_not_a_checkpoint_is_left_alone(checkpoints: Checkpoints, tmp_path: Path) -> None:
    for name in ("notes", "checkpoint-x", "old-checkpoint-3"):
        Path(checkpoints.folder, name).mkdir(parents=True)
        Path(checkpoints.folder, name, "file").touch()
    checkpoints.put(saved(tmp_path, 1), 1)
    assert stored(checkpoints) == ["checkpoint-1-1", "checkpoint-x", "notes", "old-checkpoint-3"]


def test_the_best_is_kept_beside_the_newest(checkpoints: Checkpoints, tmp_path: Path) -> None:
    for step, best in ((1, 1), (2, 2), (3, 2), (4, None), (5, 2)):
        checkpoints.put(saved(tmp_path, step), step, best)
    assert stored(checkpoints) == ["checkpoint-2-1", "checkpoint-4-1", "checkpoint-5-1"]


@pytest.mark.parametrize("where", ["checkpoints", "in_s3"])
def test_a_finished_training_leaves_nothing(request: pytest.FixtureRequest, where: str, tmp_path: Path) -> None:
    checkpoints: Checkpoints = request.getfixturevalue(where)
    for step in (1, 2):
        checkpoints.put(saved(tmp_path, step), step)
    forget(checkpoints.uri)
    assert stored(checkpoints) == []
    with pytest.raises(OvertakenError, match="finished by another attempt"):
        checkpoints.put(saved(tmp_path, 3), 3)


def test_an_older_attempt_can_neither_publish_nor_delete(in_s3: Checkpoints, tmp_path: Path) -> None:
    """Two pods of one training: the one that started last holds the lease, whatever the other one still does."""
    in_s3.put(saved(tmp_path, 2), 2)
    newer = replace(in_s3)
    found = newer.newest(tmp_path / "work")
    assert found is not None and found[1] == 2
    with pytest.raises(OvertakenError, match=r"held by attempt 2, this is attempt 1: the same training was started"):
        in_s3.put(saved(tmp_path, 4), 4)
    for step in (3, 5):
        newer.put(saved(tmp_path, step), step)
    # Step 4 was complete but never published: it is no more than an upload that broke off.
    assert stored(in_s3) == ["checkpoint-3-2", "checkpoint-5-2"]


def test_a_complete_checkpoint_that_was_not_published_any_more_counts(
    checkpoints: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process died between the manifest and the lease; the same where the lease is lost."""
    checkpoints.put(saved(tmp_path, 2), 2)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoints, "_with", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        checkpoints.put(saved(tmp_path, 4), 4)
    for attempt in range(2):
        found = replace(checkpoints).newest(tmp_path / f"work-{attempt}")
        assert found is not None and found[1] == 4
        Path(checkpoints.folder, "lease.json").unlink()


@pytest.mark.parametrize("name", ["lease.json", "checkpoint-4-1/manifest.json"])
def test_what_a_newer_version_wrote_is_neither_read_nor_deleted(
    checkpoints: Checkpoints, tmp_path: Path, name: str
) -> None:
    for step in (2, 4):
        checkpoints.put(saved(tmp_path, step), step)
    path = Path(checkpoints.folder, name)
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))
    kept = path.read_bytes()
    mine = replace(checkpoints)
    if name == "lease.json":
        with pytest.raises(NewerSchemaError, match="schema_version 99: upgrade"):
            mine.newest(tmp_path / "work")
    else:
        found = mine.newest(tmp_path / "work")
        assert found is not None and found[1] == 2
        for step in (5, 6, 7):
            mine.put(saved(tmp_path, step), step)
        assert stored(mine) == ["checkpoint-4-1", "checkpoint-6-2", "checkpoint-7-2"]
    assert path.read_bytes() == kept


def test_a_damaged_lease_is_no_reason_to_start_over(
    checkpoints: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    checkpoints.put(saved(tmp_path, 2), 2)
    Path(checkpoints.folder, "lease.json").write_text('{"attempt": 1')
    with pytest.raises(DamagedError, match=r"lease\.json"):
        replace(checkpoints).newest(tmp_path / "work")
    assert stored(checkpoints) == ["checkpoint-2-1"]


def test_a_store_that_does_not_answer_now_is_no_damage(
    in_s3: Checkpoints, servers: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 503 while a retried pod looks for its checkpoint: it fails, and everything stored stays."""
    for step in (2, 4):
        in_s3.put(saved(tmp_path, step), step)
    before = store.list_files(in_s3.folder)
    for asked_for in ("manifest.json", "model.safetensors"):

        def busy(asked: Asked, name: str = asked_for) -> Answer | None:
            return s3_error(503, "SlowDown", "later") if asked.path.endswith(f"checkpoint-4-1/{name}") else None

        with proxy(servers["AWS_ENDPOINT_URL_S3"], busy) as server, monkeypatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL_S3", server.url)
            patch.setattr(time, "sleep", lambda _: None)
            s3.client.cache_clear()
            with pytest.raises(UnavailableError, match="checkpoint-4-1"):
                replace(in_s3).newest(tmp_path / "work")
        s3.client.cache_clear()
    assert store.list_files(in_s3.folder) == before


configs = st.dictionaries(st.text(max_size=5), st.integers() | st.booleans() | st.text(max_size=5), max_size=4)


@given(configs, configs, st.text(max_size=4), st.text(max_size=4))
def test_the_key_names_config_and_inputs_and_nothing_else(first: dict, second: dict, mix: str, other: str) -> None:
    def key(config: dict, digest: str) -> str:
        return resume_key("sft", config, [("mix", digest)])

    assert key(first, mix) == key(dict(reversed(first.items())), mix)
    same = json.dumps([first, mix], sort_keys=True) == json.dumps([second, other], sort_keys=True)
    assert (key(first, mix) == key(second, other)) == same
    assert key(first, mix) != resume_key("grpo", first, [("mix", mix)])
