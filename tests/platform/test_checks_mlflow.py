"""The doctor's round trip to real MLflow servers: open, with basic-auth and two users, and behind a proxy."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from certificates import certificate
from faulty_proxy import Answer, Asked, proxy

from components.errors import InputError
from components.platform.checks.findings import Finding
from components.platform.checks.tracking_server import check_tracking
from components.platform.tracking import registry
from components.platform.tracking import runs as tracking

POLICY = Path(__file__).resolve().parents[2] / "docs/policies/mlflow.json"
ADMIN = ("admin", "password-of-the-admin")
VARIABLES = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_TRACKING_USERNAME",
             "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "BIOMED_R1_PARENT_RUN_ID")  # fmt: skip


@pytest.fixture(autouse=True)
def _clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clients of ours keep the address they were made with."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    caches = (tracking._client, tracking._experiment, registry._client)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def talk_to(monkeypatch: pytest.MonkeyPatch, uri: str, user: str = "", password: str = "") -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for name, value in (("MLFLOW_TRACKING_USERNAME", user), ("MLFLOW_TRACKING_PASSWORD", password)):
        if value:
            monkeypatch.setenv(name, value)
        else:
            monkeypatch.delenv(name, raising=False)
    for cache in (tracking._client, tracking._experiment, registry._client):
        cache.cache_clear()


def checked() -> dict[str, Finding]:
    return {finding.label: finding for finding in check_tracking()}


def failed(findings: Mapping[str, Finding]) -> list[str]:
    return [label for label, finding in findings.items() if finding.level == "failed"]


@pytest.fixture(scope="module")
def guarded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow with basic-auth, as the manifests run it: an administrator, and everybody may read by default."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ini = folder / "basic_auth.ini"
    ini.write_text(
        f"[mlflow]\ndatabase_uri = sqlite:///{folder}/auth.db\ndefault_permission = READ\n"
        f"authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        f"admin_username = {ADMIN[0]}\nadmin_password = {ADMIN[1]}\n"
    )
    extra = {
        "MLFLOW_AUTH_CONFIG_PATH": str(ini),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of-a-test",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN[0],
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
    }
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--host", "127.0.0.1", "--port",
               str(port), "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
               "--artifacts-destination", str(folder / "artifacts")]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **extra}, stdout=log, stderr=log, cwd=folder)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        time.sleep(0.2)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


@pytest.fixture
def anna(guarded_server: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """An ordinary user of the guarded server."""
    from mlflow.exceptions import MlflowException
    from mlflow.server.auth.client import AuthServiceClient

    talk_to(monkeypatch, guarded_server, *ADMIN)
    user = ("anna", "a-password-of-anna")
    try:
        AuthServiceClient(guarded_server).create_user(*user)
    except MlflowException as error:
        assert error.error_code == "RESOURCE_ALREADY_EXISTS"
    talk_to(monkeypatch, guarded_server, *user)
    return user


def test_a_403_for_an_alias_is_told_from_its_absence(
    servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a guarded server answers (tests below, with a real one): 403 for the alias, the truth for the model."""

    def guarded(asked: Asked) -> Answer | None:
        asks_for_a_version = asked.path.endswith(("registered-models/alias", "model-versions/get"))
        return Answer(403, "Permission denied") if asked.method == "GET" and asks_for_a_version else None

    registry.ensure_model("there")
    with proxy(servers["MLFLOW_TRACKING_URI"], guarded) as server:
        talk_to(monkeypatch, server.url)
        assert registry.find("never-created", alias="champion") is None
        assert registry.absent("registry:never-created#3")
        with pytest.raises(InputError, match="may not read the registered model there"):
            registry.find("there", alias="champion")


def test_an_open_server_passes_and_nothing_is_left_in_the_runs_experiment(servers: Mapping[str, str]) -> None:
    from mlflow import MlflowClient

    findings = checked()
    assert failed(findings) == []
    assert len(findings) == 5
    client = MlflowClient()
    own = client.get_experiment_by_name("biomed-r1-doctor")
    assert client.search_runs([own.experiment_id]) == []
    assert client.search_model_versions("name = 'biomed-r1-doctor'") == []
    assert client.get_experiment_by_name(tracking.EXPERIMENT).tags["biomed_r1.checked"]


@pytest.mark.slow  # a guarded server takes most of a second for each request
def test_the_alias_of_a_model_that_nobody_created_is_absent_and_no_refusal(
    anna: tuple[str, str], guarded_server: str
) -> None:
    """MLflow says 403 for it (recorded in a cluster: `evaluate-champion` of the first run failed so)."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException) as refused:
        MlflowClient().get_model_version_by_alias("never-created", "champion")
    assert refused.value.error_code == "PERMISSION_DENIED"
    assert registry.find("never-created", alias="champion") is None
    assert registry.absent("registry:never-created#1")
    assert failed(checked()) == []
    assert registry.find(registry.MODEL, alias="champion") is None
    assert MlflowClient().get_registered_model(registry.MODEL).tags["biomed_r1.checked"]
    registry.register(registry.MODEL, "s3://b/x", "k1", {}, "card")


@pytest.mark.slow  # a guarded server takes most of a second for each request
def test_a_model_that_is_there_and_may_not_be_read_is_a_refusal(
    anna: tuple[str, str], guarded_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.server.auth.client import AuthServiceClient

    talk_to(monkeypatch, guarded_server, *ADMIN)
    registry.ensure_model("secret")
    AuthServiceClient(guarded_server).grant_user_permission(anna[0], "registered_model", "secret", "DENY")
    talk_to(monkeypatch, guarded_server, *anna)
    with pytest.raises(InputError, match="may not read the registered model secret"):
        registry.find("secret", alias="champion")


@pytest.mark.slow  # a guarded server takes most of a second for each request
def test_what_another_user_created_may_be_read_and_not_written(
    anna: tuple[str, str], guarded_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """READ is MLflow's default: the task that registers would learn of it after 30 hours."""
    talk_to(monkeypatch, guarded_server, *ADMIN)
    monkeypatch.setattr(registry, "MODEL", "of-the-admin")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of-the-admin")
    assert failed(checked()) == []
    talk_to(monkeypatch, guarded_server, *anna)
    findings = checked()
    assert failed(findings) == ["MLflow experiment of-the-admin", "MLflow registered model of-the-admin"]
    assert all("ask MLflow's administrator for the EDIT permission" in findings[f].text for f in failed(findings))


@pytest.mark.slow  # a guarded server takes most of a second for each request
def test_a_wrong_password_carries_the_servers_reason(guarded_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    talk_to(monkeypatch, guarded_server, "anna", "no-such-password")
    said = checked()["MLflow answers"].text
    assert "You are not authenticated" in said and "MLFLOW_TRACKING_TOKEN" in said


def test_a_bearer_token_and_a_private_authority_work_as_mlflow_itself_takes_them(
    servers: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bearer(asked: Asked) -> Answer | None:
        return None if asked.headers.get("authorization") == "Bearer of-a-test" else Answer(401, "no token")

    pem = certificate(tmp_path)
    with proxy(servers["MLFLOW_TRACKING_URI"], bearer, certificate=pem) as server:
        talk_to(monkeypatch, server.url)
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "of-a-test")
        assert "name your authority's file in MLFLOW_TRACKING_SERVER_CERT_PATH" in checked()["MLflow answers"].text
        with monkeypatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
            assert failed(checked()) == []
            tracking.check()
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", pem)
        assert failed(checked()) == []
        monkeypatch.delenv("MLFLOW_TRACKING_TOKEN")
        assert "no token" in checked()["MLflow answers"].text
        with pytest.raises(InputError, match=r"MLflow does not answer: .*no token"):
            tracking.check()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(403, "Invalid Host header - possible DNS rebinding attack detected"), "--allowed-hosts"),
        (Answer(503, "upgrade in progress"), "too many 503"),
        (Answer(404, "nothing here"), "this is no MLflow's API"),
    ],
)
def test_an_api_that_refuses_is_found_though_its_version_page_answers(
    servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, answer: Answer, says: str
) -> None:
    with proxy(servers["MLFLOW_TRACKING_URI"], lambda a: answer if "/api/" in a.path else None) as server:
        talk_to(monkeypatch, server.url)
        assert says in checked()["MLflow answers"].text


def test_a_deleted_experiment_and_one_left_over_in_the_environment(
    servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    number = MlflowClient().create_experiment("thrown-away")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "thrown-away")
    assert failed(checked()) == []
    MlflowClient().delete_experiment(number)
    text = checked()["MLflow experiment thrown-away"].text
    assert f"is deleted; restore it with `mlflow experiments restore --experiment-id {number}`" in text
    for left, says in ((number, "is deleted"), ("987654", "may be left over from another server: unset it")):
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", left)
        assert says in checked()["MLflow experiment thrown-away"].text


def test_the_documented_calls_are_all_that_a_run_makes(
    servers: Mapping[str, str], store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.stages.frame.outcome import OutcomeConfig, record_outcome

    allowed = set(json.loads(POLICY.read_text())["calls"])

    def enforcing(asked: Asked) -> Answer | None:
        call = f"{asked.method} {asked.path}"
        return None if call in allowed else Answer(403, f"not in docs/policies/mlflow.json: {call}")

    with proxy(servers["MLFLOW_TRACKING_URI"], enforcing) as server:
        talk_to(monkeypatch, server.url)
        findings = checked()
        assert failed(findings) == [], findings
        run = store_uri.rpartition("/")[2]
        tracking.open_pipeline(run, {"a": 1}, {"recipe": "smoke"})
        with tracking.stage_run(run, "ingest", "ingest") as tracked:
            tracked.params({"a": 1})
            tracked.metrics({"loss": 1.0})
            tracked.history([{"step": 1, "loss": 0.5}], once=True)
            tracked.dataset("d", "0" * 8, "s3://b/d", 1, "train")
            monkeypatch.setenv("MLFLOW_RUN_ID", str(tracked.run_id))
        with tracking.stage_run(run, "ingest", "ingest"):
            pass
        monkeypatch.delenv("MLFLOW_RUN_ID")
        registry.register(registry.MODEL, f"s3://b/{run}", run, {"x": "y"}, "card")
        registry.find(registry.MODEL, version="1")
        registry.identity()
        tracking.end_dead_runs()
        record_outcome(run, "FAILED", OutcomeConfig(tasks=("ingest",)))
        made = {f"{asked.method} {asked.path}" for asked in server.asked}
        assert made <= allowed
        # Only after a refusal, to tell it from absence; where nothing is there yet; and where somebody deleted it.
        rare = ("registered-models/get", "experiments/create", "experiments/restore")
        assert {call for call in allowed - made if not call.endswith(rare)} == set()


def test_the_topmost_run_is_found_through_the_plugins_levels(
    servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """KFP's plugin: pipeline run > exit handler (FINISHED from the start) > task, each with its own MLflow run."""
    from mlflow import MlflowClient

    client = MlflowClient()
    experiment = client.create_experiment("of-kfp")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)

    def made(name: str, above: str = "") -> str:
        tags: dict[str, Any] = {"kfp.pipeline_run_id": "r"} | ({"mlflow.parentRunId": above} if above else {})
        return str(client.create_run(experiment, run_name=name, tags=tags).info.run_id)

    top = made("smoke-20261127")
    group = made("exit-handler-1", top)
    client.set_terminated(group, "FINISHED")
    monkeypatch.setenv("MLFLOW_RUN_ID", made("doctor", group))
    tracking.open_pipeline("plugin-run", {"seed": 7}, {"recipe": "smoke"})
    task = made("evaluate-4", group)
    monkeypatch.setenv("MLFLOW_RUN_ID", task)
    with tracking.stage_run("plugin-run", "evaluate", "evaluate-champion"):
        pass
    monkeypatch.setenv("MLFLOW_RUN_ID", made("outcome", group))
    tracking.close_pipeline("plugin-run", "FINISHED", {"outcome.state": "SUCCEEDED"}, {"gpu_seconds": 1.0})
    found = client.get_run(top).data
    assert (found.params["seed"], found.tags["recipe"], found.tags["outcome.state"]) == ("7", "smoke", "SUCCEEDED")
    assert client.get_run(group).data.params == {}
    assert client.get_run(task).info.run_name == "evaluate-champion"
    assert tracking.begun_tasks("plugin-run") == ["evaluate-champion"]


def test_a_circle_of_runs_is_no_endless_walk(servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    client = MlflowClient()
    run = client.create_run("0").info.run_id
    client.set_tag(run, "mlflow.parentRunId", run)
    monkeypatch.setenv("MLFLOW_RUN_ID", run)
    with pytest.raises(InputError, match="more than 12 runs above it"):
        tracking.open_pipeline("circle", {}, {})
