"""The scripts that pods run, against a real S3, a real MLflow and a real PostgreSQL."""

from __future__ import annotations

import json
import os
import runpy
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from kubectl import MANIFESTS, ROOT, containers, pod_specs
from postgres import free_port

from components.platform import objects, registry, store

# Where they lie, each name once.
SCRIPTS = {path.name: path for folder in ("base/scripts", "serving") for path in (MANIFESTS / folder).glob("*.py")}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run one of the scripts as a program in this process; returns its exit code."""

    def run(name: str, *arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        try:
            runpy.run_path(str(SCRIPTS[name]), run_name="__main__")
        except SystemExit as stop:
            if isinstance(stop.code, str):
                print(stop.code)
                return 1
            return int(stop.code or 0)
        return 0

    return run


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


@pytest.mark.parametrize(
    ("decisions", "code"),
    [
        ([], 0),
        (["refuse"], 0),
        (["refuse", "refuse"], 1),
        (["promote", "refuse", "refuse"], 1),
        (["refuse", "refuse", "promote"], 0),
        (["refuse", "promote", "refuse"], 0),
    ],
)
def test_two_refusals_in_a_row_are_reported(
    script: Callable[..., int], model_name: str, decisions: list[str], code: int
) -> None:
    for decision in decisions:
        _version(model_name, decision)
    assert script("gate_watch.py") == code


@pytest.mark.parametrize("name", ["gate_watch.py", "serving_watch.py"])
def test_a_check_without_mlflow_says_so(
    script: Callable[..., int], name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    assert script(name) == 2
    assert "MLflow does not answer" in capsys.readouterr().out


@pytest.fixture
def models_endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What vLLM answers on /v1/models for the names in the list; the real server: test_serving.py, marked slow."""
    names: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in names]}).encode()
            known = self.headers.get("Authorization") == "Bearer the key" or "closed" not in names
            self.send_response((200 if known else 401) if self.path == "/v1/models" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("SERVING_URL", f"http://127.0.0.1:{server.server_port}")
    yield names
    server.shutdown()
    server.server_close()


def test_serving_is_compared_with_the_champion(
    script: Callable[..., int], model_name: str, models_endpoint: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    old, new = "s3://biomed-r1/models/old", "s3://biomed-r1/models/new"
    models_endpoint += ["biomed-r1", old]
    assert script("serving_watch.py") == 0, "no champion yet"
    MlflowClient().set_registered_model_alias(model_name, registry.CHAMPION, _version(model_name, "promote", old))
    assert script("serving_watch.py") == 0
    MlflowClient().set_registered_model_alias(model_name, registry.CHAMPION, _version(model_name, "promote", new))
    assert script("serving_watch.py") == 1
    models_endpoint[:] = ["biomed-r1", new]
    assert script("serving_watch.py") == 0
    models_endpoint.append("closed")
    assert script("serving_watch.py") == 1, "a key is asked for"
    monkeypatch.setenv("VLLM_API_KEY", "the key")
    assert script("serving_watch.py") == 0
    monkeypatch.setenv("SERVING_URL", f"http://127.0.0.1:{free_port()}")
    assert script("serving_watch.py") == 1, "nothing is served"


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


@pytest.mark.parametrize("job", ["CronJob/biomed-r1-backup", "Deployment/mlflow", "CronJob/biomed-r1-gate-watch"])
def test_whatever_talks_at_once_waits_for_its_peer(rendered: dict[str, list[dict[str, Any]]], job: str) -> None:
    """A new pod's policy takes half a second: the first container waits until the way is open, with a deadline."""
    pod = next(pod for name, _, pod in pod_specs(rendered["kind"]) if name == job)
    first, port = pod["initContainers"][0], free_port()
    assert first["name"] == "wait"
    words = ["127.0.0.1" if word in ("$(PGHOST)", "mlflow") else word for word in first["command"][2:]]
    words = [str(port) if word in ("$(PGPORT)", "5000") else word for word in words]
    command = [sys.executable, str(SCRIPTS["wait_for.py"]), *words]
    waiting = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(1)  # nobody listens yet, and it has not given up
    with socket.create_server(("127.0.0.1", port)):
        assert waiting.wait(20) == 0
    assert waiting.stdout is not None
    assert waiting.stdout.read() == f"127.0.0.1:{port} takes connections\n"
    waiting.stdout.close()


def test_waiting_ends_and_says_for_what(script: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    assert script("wait_for.py", "127.0.0.1", port, 0.2) == 1
    assert f"127.0.0.1:{port} took no connection for 0.2 s (ConnectionRefusedError" in capsys.readouterr().out
    assert script("wait_for.py", "no-such-host.invalid", port, 0.2) == 1
    assert "gaierror" in capsys.readouterr().out


def test_every_job_that_talks_at_once_has_that_first_container(rendered: dict[str, list[dict[str, Any]]]) -> None:
    for name, _, pod in pod_specs(rendered["kind"]):
        talks = any("PGPASSWORD" in str(c) or "MLFLOW_TRACKING_PASSWORD" in str(c) for c in containers(pod))
        if talks and not name.startswith("StatefulSet/"):
            assert pod["initContainers"][0]["command"][1].endswith("/wait_for.py"), name


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
    client, bucket = objects.client(), f"lifecycle-{uuid.uuid4().hex[:8]}"
    rules = json.loads((MANIFESTS / "base/s3-lifecycle.json").read_text(encoding="utf-8"))
    client.create_bucket(Bucket=bucket)
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=rules)
    kept = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert {rule["ID"]: rule["Status"] for rule in kept} == {rule["ID"]: "Enabled" for rule in rules["Rules"]}
    client.delete_bucket(Bucket=bucket)
