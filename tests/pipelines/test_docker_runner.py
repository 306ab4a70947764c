"""What the containers of a run are given, and what a machine without Docker says; no Docker Engine needed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests_support import smoke_command

from pipelines.local import docker_runner
from pipelines.settings.recipes import key_variables, load_any_recipe


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-the-store")
    monkeypatch.setenv("MLFLOW_RUN_ID", "the-parent")
    for name in ("UNRELATED_TOKEN", "OPENAI_API_KEY", "DEEPSEEK_API_KEY"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("BIOMED_R1_HOME", "/home/somebody")
    return docker_runner.container_arguments(tmp_path, "run-1")


def test_containers_run_without_root_and_without_writing_to_their_image(arguments: dict[str, object]) -> None:
    assert arguments["user"] == "10001:10001"
    assert arguments["read_only"] is True and list(arguments["tmpfs"]) == ["/tmp"]  # type: ignore[call-overload]
    assert arguments["cap_drop"] == ["ALL"] and arguments["security_opt"] == ["no-new-privileges"]
    assert arguments["labels"] == {docker_runner.LABEL: "run-1"}


def test_containers_get_the_settings_they_need_and_no_other(arguments: dict[str, object]) -> None:
    environment = arguments["environment"]
    assert isinstance(environment, dict)
    assert environment["AWS_SECRET_ACCESS_KEY"] == "a-secret-of-the-store"
    # Of this machine (a path), of the parent run, and of nobody's business.
    assert not {"BIOMED_R1_HOME", "MLFLOW_RUN_ID", "PATH"} & set(environment) and "canary" not in environment.values()


def test_containers_get_the_keys_that_their_recipe_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_any_recipe("paper-models")
    assert key_variables(recipe) == ["DEEPSEEK_API_KEY", "OPENAI_API_KEY"]
    assert key_variables(load_any_recipe("smoke")) == key_variables(load_any_recipe("models-demo")) == []
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("DEEPSEEK_API_KEY", "canary")
    monkeypatch.setenv("UNRELATED_TOKEN", "canary")
    arguments = docker_runner.container_arguments(tmp_path, "run-1", key_variables(recipe))
    assert [name for name, value in arguments["environment"].items() if value == "canary"] == ["DEEPSEEK_API_KEY"]
    assert "OPENAI_API_KEY" not in arguments["environment"]
    assert b"canary" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_the_runner_of_a_recipe_hands_its_keys_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kfp import local

    from pipelines.local import runner as local_runner

    given: dict[str, object] = {}
    monkeypatch.setattr(local, "DockerRunner", lambda **arguments: given.update(arguments))
    monkeypatch.setattr(local, "init", lambda **_: None)
    monkeypatch.setattr(local_runner, "build", lambda *_: lambda: None)
    monkeypatch.setenv("BIOMED_R1_RUN_ID", "run-1")
    monkeypatch.setenv("BIOMED_R1_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("DEEPSEEK_API_KEY", "canary")
    recipe = load_any_recipe("paper-models").model_dump_json(by_alias=True)
    (tmp_path / "recipe.json").write_text(recipe, encoding="utf-8")
    local_runner.run(tmp_path, "docker")
    environment = given["environment"]
    assert isinstance(environment, dict) and environment["DEEPSEEK_API_KEY"] == "canary"


def test_only_the_runs_own_folder_lets_other_users_write_and_nobody_else_reaches_it(
    arguments: dict[str, object], tmp_path: Path
) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path, *tmp_path.iterdir())}
    assert modes == {tmp_path.name: 0o700, "kfp": 0o777, "logs": 0o777, "events.jsonl": 0o666}


def test_kfp_accepts_the_arguments(arguments: dict[str, object]) -> None:
    from kfp import local

    assert local.DockerRunner(**arguments).container_run_args == arguments


@pytest.mark.parametrize("what", ["no Docker", "no image"])
def test_what_is_missing_is_said_before_any_work(what: str, tmp_path: Path) -> None:
    environment = {**os.environ, "BIOMED_R1_HOME": str(tmp_path), "BIOMED_R1_NEEDED_DISK_BYTES": "1"}
    if what == "no Docker":
        environment["DOCKER_HOST"] = f"unix://{tmp_path}/nobody.sock"
    else:
        if subprocess.run(["docker", "version"], capture_output=True).returncode:
            pytest.skip("Docker does not answer")
        environment["BIOMED_R1_CPU_IMAGE"] = "no-such-image:dev"
    command = smoke_command("--runner", "docker")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert ("Docker does not answer" if what == "no Docker" else "make images") in done.stderr
    assert not (tmp_path / "servers").exists()
