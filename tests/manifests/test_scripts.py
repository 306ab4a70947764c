"""The scripts that pods run, against a real S3, a real MLflow and a real PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from kubectl import MANIFESTS, ROOT, SCRIPTS, pod_specs

from components.platform.storage import objects, s3, store
from components.platform.tracking import registry


@pytest.fixture
def model_name(servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A registered model of this test's own, which the scripts take for ours."""
    from mlflow import MlflowClient

    name = f"watch-{uuid.uuid4().hex}"
    monkeypatch.setattr(registry, "MODEL", name)
    MlflowClient().create_registered_model(name)
    return name


def _version(name: str, decision: str, source: str = "s3://biomed-r1/models/x") -> str:
    from mlflow import MlflowClient

    return str(MlflowClient().create_model_version(name, source, tags={"gate.decision": decision}).version)


def test_the_uri_of_a_version_is_printed(
    script: Callable[..., int], model_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    version = _version(model_name, "promote", "s3://biomed-r1/models/one")
    assert script("source_uri.py", version) == 0
    assert capsys.readouterr().out == "s3://biomed-r1/models/one\n"
    assert script("source_uri.py", "champion") == 1
    assert "no such version" in capsys.readouterr().out


def test_an_empty_dump_is_no_backup(script: Callable[..., int], store_uri: str, tmp_path: Path) -> None:
    (tmp_path / "mlflow.dump").touch()
    assert script("store_backup.py", tmp_path) == 1


def test_a_backup_restores(
    script: Callable[..., int],
    store_uri: str,
    postgres: tuple[Path, int],
    rendered: dict[str, list[dict[str, Any]]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The CronJob's own dump command, the upload, the checked download and the runbook's restore."""
    programs, port = postgres
    login = ["--host=127.0.0.1", f"--port={port}", "--username=mlflow"]

    def sql(text: str) -> str:
        command = [str(programs / "psql"), *login, "--dbname=mlflow", "-Atqc", text]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()

    subprocess.run([str(programs / "createdb"), *login, "mlflow"], check=True, timeout=30)
    sql("create table runs (run_id text primary key); insert into runs values ('kept')")
    pod = next(pod for name, _, pod in pod_specs(rendered["kind"]) if name == "CronJob/biomed-r1-backup")
    job = {container["name"]: container for container in pod["initContainers"]}
    backend = _backend(rendered["kind"], job["dump"], port)
    command = [word.replace("=/dump/", f"={tmp_path}/") for word in job["dump"]["command"]]
    subprocess.run([str(programs / command[0]), *command[1:]], check=True, timeout=60, env={**os.environ, **backend})
    capsys.readouterr()
    assert script("store_backup.py", tmp_path) == 0
    uri = capsys.readouterr().out.strip()
    assert uri.startswith(store_uri.replace("s3://biomed-r1/", "s3://biomed-r1/backups/") + "/mlflow/")

    sql("insert into runs values ('written after the backup'); create table later (x int)")
    store.get_dir(uri, tmp_path / "fetched")
    restore = ["--dbname=mlflow", "--clean", "--if-exists", "--no-owner", "--single-transaction"]
    dump = str(tmp_path / "fetched/mlflow.dump")
    subprocess.run([str(programs / "pg_restore"), *login, *restore, dump], check=True, timeout=60)
    assert sql("select run_id from runs") == "kept"
    assert " ".join(restore) in (MANIFESTS / "runbooks/restore-backup.md").read_text(encoding="utf-8")


def _backend(found: list[dict[str, Any]], container: Mapping[str, Any], port: int) -> dict[str, str]:
    """What a container is told of MLflow's database, with this test's server in place of the manifests'."""
    names = [source["configMapRef"]["name"] for source in container["envFrom"]]
    assert names == ["mlflow-backend"]
    told = next(dict(item["data"]) for item in found if item["metadata"]["name"] == "mlflow-backend")
    assert (told["PGHOST"], told["PGPORT"]) == ("postgres", "5432")
    return {**told, "PGHOST": "127.0.0.1", "PGPORT": str(port)}


def test_the_store_is_tried(
    script: Callable[..., int], store_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script("store_watch.py") == 0
    assert not objects.list_files(f"{store_uri}/probes"), "nothing is left behind"
    environment = {**os.environ, "AWS_SECRET_ACCESS_KEY": "wrong", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(SCRIPTS["store_watch.py"]), "0"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1, result.stdout + result.stderr
    assert result.stdout.startswith(f"store_watch: {store_uri}/probes/")


def test_an_s3_server_takes_the_lifecycle(servers: Mapping[str, str]) -> None:
    client, bucket = s3.client(), f"lifecycle-{uuid.uuid4().hex[:8]}"
    rules = json.loads((MANIFESTS / "base/s3-lifecycle.json").read_text(encoding="utf-8"))
    client.create_bucket(Bucket=bucket)
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=rules)
    kept = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert {rule["ID"]: rule["Status"] for rule in kept} == {rule["ID"]: "Enabled" for rule in rules["Rules"]}
    client.delete_bucket(Bucket=bucket)
