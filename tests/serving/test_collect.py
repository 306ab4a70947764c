"""`gc` on a real S3 with a real MLflow: what it lists, what it deletes, and what it must not touch."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from components.errors import InputError, UnavailableError
from components.platform.storage import objects, store
from components.platform.storage.claims import LEASE
from components.platform.tracking import registry
from components.platform.tracking.answers import quickly
from components.serving import collect
from components.serving.promote import Asked, promote
from pipelines.cli.models import gc_command

DAY = timedelta(days=1)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred days from now: everything that a test has written is old."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(days=100)

    monkeypatch.setattr(collect, "datetime", Later)


def artifact(root: str, folder: Path, stage: str, inputs: Sequence[tuple[str, str]] = (), **evidence: Any) -> str:
    made = folder / uuid.uuid4().hex
    made.mkdir()
    (made / "data.json").write_text(made.name)
    (made / "evidence.json").write_text(json.dumps(evidence))
    uri = f"{root}/artifacts/{stage}/{made.name}"
    store.put_dir(made, uri, stage=stage, key=made.name, inputs=inputs)
    return uri


def receipt(root: str, uri: str) -> None:
    objects.put_json(f"{root}/runs/{uuid.uuid4().hex}/receipts/task.json", {"uri": uri})


def doomed(root: str, older_than: timedelta = DAY) -> dict[str, str]:
    return {directory.path: directory.why for directory in collect.plan(root, older_than).doomed}


def test_what_led_to_a_registered_version_stays(shelf: Any, tmp_path: Path, later: None) -> None:
    root = shelf.root
    questions = artifact(root, tmp_path, "curate")
    base = artifact(root, tmp_path, "sft", [("mix", store.stored_sha256(f"{questions}/data.json"))])
    unrelated = artifact(root, tmp_path, "sft")
    shelf.register()
    manifest = objects.get_json(f"{shelf.made['1'].uri}/manifest.json")
    manifest["inputs"] = [[base, store.manifest_digest(store.read_manifest(base) or {})]]
    objects.put_json(f"{shelf.made['1'].uri}/manifest.json", manifest)
    assert doomed(root) == {unrelated.removeprefix(f"{root}/"): "nobody needs it"}
    registry._client().delete_model_version(shelf.name, "1")
    assert len(doomed(root)) == 4


def test_a_pointer_keeps_what_the_registry_forgot(shelf: Any, later: None) -> None:
    shelf.register()
    promote(shelf.root, shelf.name, "1", Asked("ann", "first", promotion="auto"))
    registry._client().delete_registered_model_alias(shelf.name, "champion")
    registry._client().delete_model_version(shelf.name, "1")
    assert doomed(shelf.root) == {}
    kept = [path for path in objects.list_files(shelf.root) if path.startswith("serving/")]
    assert len(kept) == 3, "pointer, log, decision: no business of gc"


def test_the_previous_and_the_proposed_version_stay_without_the_registry(shelf: Any, later: None) -> None:
    for against, promotion in (("", "auto"), ("1", "auto"), ("2", "manual")):
        shelf.register(against)
        promote(shelf.root, shelf.name, str(len(shelf.made)), Asked("ann", "next", promotion=promotion))
    registry._client().delete_registered_model_alias(shelf.name, "champion")
    for version in shelf.made:
        registry._client().delete_model_version(shelf.name, version)
    assert doomed(shelf.root) == {}


def test_what_is_new_stays_and_so_does_what_a_recent_run_used(store_uri: str, tmp_path: Path) -> None:
    used, new = artifact(store_uri, tmp_path, "ingest"), artifact(store_uri, tmp_path, "curate")
    receipt(store_uri, used)
    found = collect.plan(store_uri, DAY)
    assert found.doomed == [] and {used, new} == {f"{store_uri}/{directory.path}" for directory in found.kept}
    with pytest.raises(InputError, match="at least 1d"):
        collect.plan(store_uri, timedelta(hours=1))


def test_old_receipts_count_for_a_run_that_goes_on(store_uri: str, tmp_path: Path, later: None) -> None:
    from components.platform.tracking import runs

    used, run = artifact(store_uri, tmp_path, "ingest"), f"run-{uuid.uuid4().hex}"
    objects.put_json(f"{store_uri}/runs/{run}/receipts/ingest.json", {"uri": used})
    assert len(doomed(store_uri)) == 1
    with runs.stage_run(run, "sft", "sft"):
        assert doomed(store_uri) == {}


def test_checkpoints_of_a_finished_training_go_at_any_age(store_uri: str, tmp_path: Path) -> None:
    root, files = str(tmp_path / "store"), tmp_path / "files"
    files.mkdir()
    done, going = f"{root}/checkpoints/sft/{'a' * 40}", f"{root}/checkpoints/sft/{'b' * 40}"
    for where in (done, going):
        store.put_dir(files, f"{where}/{'1' * 16}/checkpoint-2-1", stage="sft", key="k")
        store.put_json(f"{where}/{'1' * 16}/{LEASE}", {})
    receipt(root, artifact(root, files, "sft", checkpoints=done))
    old = f"checkpoints/sft/{'a' * 40}/{'1' * 16}/checkpoint-2-1"
    assert doomed(root) == {old: "its training has ended well"}
    store.put_dir(files, f"{done}/{'1' * 16}/checkpoint-4-2-2", stage="sft", key="k")
    assert list(doomed(root)) == [old], "a later one is of a training that goes on"


def test_staged_inputs_that_a_plan_names_stay(store_uri: str, tmp_path: Path, later: None) -> None:
    (tmp_path / "x").write_text("x")
    for digest in ("a" * 40, "b" * 40):
        store.put_dir(tmp_path, f"{store_uri}/inputs/{digest}", stage="inputs", key=digest)
    objects.put_json(f"{store_uri}/plans/{'c' * 64}.json", {"models": [f"{store_uri}/inputs/{'a' * 40}"]})
    objects.put_json(f"{store_uri}/doctor/{uuid.uuid4().hex}/object", "left by a doctor that was killed")
    assert sorted(path.partition("/")[0] for path in doomed(store_uri)) == ["doctor", "inputs"]


def test_the_command_lists_first_and_a_run_that_comes_between_is_respected(
    store_uri: str, tmp_path: Path, later: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    uris = [artifact(store_uri, tmp_path, "evaluate") for _ in range(3)]
    before = objects.list_files(store_uri)
    listed = CliRunner().invoke(gc_command, [], catch_exceptions=False).output
    assert "artifacts/evaluate\t3\t" in listed and "nothing was changed" in listed
    assert objects.list_files(store_uri) == before
    found = collect.plan(store_uri, DAY)
    taken = f"{store_uri}/{found.doomed[1].path}"
    deleted: list[str] = []
    real = store.delete_prefix

    def watched(uri: str) -> None:
        deleted.append(uri)
        real(uri)
        if len(deleted) == 1:
            receipt(store_uri, taken)  # a run has found this result and goes on with it
            monkeypatch.setattr(collect, "datetime", datetime)

    monkeypatch.setattr(store, "delete_prefix", watched)
    gone = collect.delete(found, DAY)
    assert taken not in deleted and len(gone) == 1 and set(deleted) < set(uris)


def test_killed_between_two_deletions_the_same_command_ends_well(
    store_uri: str, tmp_path: Path, later: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        artifact(store_uri, tmp_path, "evaluate")
    with monkeypatch.context() as planted:
        planted.setenv("BIOMED_R1_FAULT", "directory deleted:raise")
        with pytest.raises(RuntimeError):
            collect.delete(collect.plan(store_uri, DAY), DAY)
    half = collect.plan(store_uri, DAY).doomed[0].path
    objects.delete(f"{store_uri}/{half}/manifest.json")
    assert doomed(store_uri)[half] == "never finished"
    assert "deleted 2 of 2 directories" in CliRunner().invoke(gc_command, ["--delete"]).output
    assert objects.list_files(store_uri) == []


def test_another_stores_registry_is_refused(store_uri: str, tmp_path: Path, later: None) -> None:
    artifact(store_uri, tmp_path, "register", [("s3://b/model", "d")])
    with pytest.raises(InputError, match="has none: is it this store's"):
        collect.plan(store_uri, DAY)


def test_without_a_registry_nothing_is_deleted(
    store_uri: str, tmp_path: Path, later: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact(store_uri, tmp_path, "evaluate")
    registry._client.cache_clear()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    try:
        with quickly(), pytest.raises(UnavailableError):
            collect.plan(store_uri, DAY)
    finally:
        registry._client.cache_clear()
