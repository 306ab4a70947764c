"""What a cluster's run takes from the disk of whoever starts it: stored first, in the store that the run will use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from compiled_pipelines import tasks_of

from components.errors import InputError
from components.platform import models
from components.platform.storage import store
from components.platform.storage.plan import parse
from components.stages.frame.preflight import PreflightConfig, preflight
from pipelines.compile import compiled
from pipelines.settings.profile import load_profile
from pipelines.settings.recipes import load_any_recipe
from pipelines.staging import local_references
from tests.pipelines.cluster_verbs import Verb
from tests.pipelines.kfp_server import KfpServer

ENCODER = "package:minilm-l6-v2"


@pytest.fixture
def site(store_uri: str, tmp_path: Path) -> str:
    """The profile `kind` of a site whose store is this test's."""
    path = tmp_path / "site.yaml"
    path.write_text(f"extends: kind\nenvironment: {{BIOMED_R1_STORE: {store_uri}}}\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def smoke(tiny_model: Path) -> tuple[str, ...]:
    """The smoke recipe with a model in a folder and another in a package."""
    return ("--recipe", "smoke", "--set", f"base_model={tiny_model}")


def checked_in_an_image(text: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the doctor of a compiled pipeline finds where, as in every image, no model package is installed."""
    plan = parse(tasks_of(text)["doctor"].constant("plan"))
    config = PreflightConfig(models=plan.references, sources=tuple((s, kind) for kind, s in plan.data.items()))
    with monkeypatch.context() as patch:
        patch.setattr(models, "PACKAGES", {})
        return preflight(config)


def test_the_shipped_recipe_as_it_is_finds_no_model_in_an_image(
    servers: Any, store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without this the tests below would pass on a doctor that looks at nothing."""
    with pytest.raises(InputError, match=f"{ENCODER}: unknown"):
        checked_in_an_image(compiled(load_any_recipe("smoke"), load_profile("kind")), monkeypatch)


@pytest.mark.parametrize("starting", [("submit",), ("schedule", "--name", "weekly", "--cron", "0 0 3 * * 0")])
def test_what_is_on_this_machine_is_stored_where_the_run_finds_it(
    starting: tuple[str, ...],
    kfp: KfpServer,
    verb: Verb,
    site: str,
    smoke: tuple[str, ...],
    store_uri: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BIOMED_R1_STORE", "s3://of-something-else/x")
    ended = verb(*starting, *smoke, "--profile", site, "--host", kfp.url)
    assert ended.code == 0, ended.stderr
    assert f"{ENCODER} is stored as {store_uri}/inputs/" in ended.stderr
    (text,) = kfp.packages
    monkeypatch.setenv("BIOMED_R1_STORE", store_uri)
    found = checked_in_an_image(text, monkeypatch)
    assert len([label for label in found if label.startswith(f"model {store_uri}/inputs/")]) == 2
    assert "package:" not in text

    before = {
        name: store.read_manifest(f"{store_uri}/inputs/{name}") for name in store.list_children(f"{store_uri}/inputs")
    }
    assert len(before) == 2
    again = verb(*starting, *smoke, "--profile", site, "--host", kfp.url)
    assert "(was there)" in again.stdout
    assert {name: store.read_manifest(f"{store_uri}/inputs/{name}") for name in before} == before


def test_stage_writes_the_recipe_that_submit_runs(
    kfp: KfpServer, verb: Verb, site: str, store_uri: str, tiny_model: Path, tmp_path: Path
) -> None:
    mine, out = tmp_path / "mine.yaml", tmp_path / "stored.yaml"
    values = {"name": "mine", "classify": {"model": ENCODER}, "models": [{"name": "a", "model": str(tiny_model)}]}
    mine.write_text(yaml.safe_dump(values), encoding="utf-8")
    done = verb("stage", str(mine), "--profile", site, "-o", str(out))
    assert done.code == 0, done.stderr
    assert f"{tiny_model} is stored as {store_uri}/inputs/" in done.stderr and "2 stored" in done.stderr
    assert local_references(load_any_recipe(str(out))) == []
    assert store.exists(load_any_recipe(str(out)).models[0].model)
    to = ("--pipeline", "evaluation", "--profile", site, "--host", kfp.url)
    assert "(uploaded)" in verb("submit", "--recipe", str(mine), *to).stdout
    assert "(was there)" in verb("submit", "--recipe", str(out), *to).stdout, "the same recipe, by either way"


def test_stage_of_a_recipe_with_nothing_local_needs_no_store(verb: Verb, tmp_path: Path) -> None:
    done = verb("stage", "biomed-r1-8b", "--profile", "kind")
    assert (done.code, done.stderr.strip()) == (0, "0 stored")
    (tmp_path / "same.yaml").write_text(done.stdout, encoding="utf-8")
    assert load_any_recipe(str(tmp_path / "same.yaml")) == load_any_recipe("biomed-r1-8b")


def as_a_process(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A verb in a process of its own: the client of the store keeps the endpoint that it was made with."""
    hidden = ("AWS_ENDPOINT_URL_S3", "BIOMED_R1_STORE")
    environment = {k: v for k, v in os.environ.items() if k not in hidden} | variables
    command = [sys.executable, "-m", "pipelines.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_a_store_out_of_reach_is_said_before_anything_is_started(kfp: KfpServer, tmp_path: Path) -> None:
    profile = tmp_path / "site.yaml"
    # The profile's own endpoint: only the cluster knows the name that the shipped one has.
    profile.write_text("extends: kind\nname: ours\nenvironment: {AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:9'}\n")
    to = ("--profile", str(profile), "--host", kfp.url)
    keys = {"AWS_ACCESS_KEY_ID": "canary-id", "AWS_SECRET_ACCESS_KEY": "canary-key", "KFP_TOKEN": str(kfp.token)}
    done = as_a_process("submit", "--recipe", "smoke", *to, **keys)
    assert done.returncode == 2, done.stderr
    told = [
        "recipe smoke names package:smollm2-135m-instruct, package:minilm-l6-v2, which no image holds",
        "S3 at http://127.0.0.1:9 does not answer",
        "set AWS_ENDPOINT_URL_S3",
        "`biomed-r1 stage` with this recipe and profile",
    ]
    assert [words for words in told if words not in done.stderr] == []
    assert "canary" not in done.stdout + done.stderr and "Traceback" not in done.stderr
    assert [request for request in kfp.requests if not request.startswith("GET")] == []


def test_a_model_that_is_not_even_here_is_named(verb: Verb, site: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"extends: smoke\nbase_model: {tmp_path}/nothing\n", encoding="utf-8")
    done = verb("stage", str(mine), "--profile", site)
    assert done.code == 2 and f"there is no folder {tmp_path}/nothing" in done.stderr and done.stdout == ""


def test_a_profile_without_a_store(verb: Verb) -> None:
    done = verb("stage", "smoke", "--profile", "local")
    assert done.code == 2 and "profile local names no BIOMED_R1_STORE" in done.stderr


def test_compile_says_what_the_doctor_will_refuse(verb: Verb, tmp_path: Path) -> None:
    out = str(tmp_path / "out.yaml")
    said = verb("compile", "--recipe", "smoke", "--profile", "kind", "-o", out)
    assert said.code == 0
    assert f"names package:smollm2-135m-instruct, {ENCODER}, which no image holds: the run's doctor will refuse" in (
        said.stderr
    )
    assert "`biomed-r1 stage` with this recipe and profile" in said.stderr
    stored = [f"{key}=s3://bucket/{key}" for key in ("base_model", "classify.model")]
    for profile, changes in (("local", []), ("docker", []), ("kind", stored)):
        more = [part for change in changes for part in ("--set", change)]
        assert "no image" not in verb("compile", "--recipe", "smoke", "--profile", profile, *more, "-o", out).stderr


def test_compile_says_which_key_no_secret_gives(verb: Verb, tmp_path: Path) -> None:
    recipe, out = tmp_path / "mine.yaml", str(tmp_path / "out.yaml")
    asked = {"base_url": "https://example.org/v1", "api_key_env": "OUR_KEY"}
    entry = {"name": "a", "model": "openai:x", "evaluate": asked}
    values = {"name": "mine", "classifier": "s3://bucket/line", "models": [entry]}
    recipe.write_text(yaml.safe_dump(values), encoding="utf-8")
    arguments = ("compile", "--pipeline", "evaluation", "--recipe", str(recipe), "-o", out, "--profile")
    said = verb(*arguments, "kind")
    assert said.code == 0 and "no Secret of profile kind gives OUR_KEY" in said.stderr
    profile = tmp_path / "site.yaml"
    profile.write_text("extends: kind\nsecrets: [{name: ours, keys: {OUR_KEY: key}}]\n", encoding="utf-8")
    assert "OUR_KEY" not in verb(*arguments, str(profile)).stderr
