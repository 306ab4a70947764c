"""A secret of the environment gets into nothing that `biomed-r1 compile` writes or says: any recipe, any profile."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from compiled_pipelines import SITE, site_profile

from pipelines.local.docker_runner import NAMES
from pipelines.settings.pins import pin_text
from pipelines.settings.recipes import key_variables, load_any_recipe

ROOT = Path(__file__).resolve().parents[2]
CANARY = "canary-6d1f7c0e"
PROFILES = sorted(path.stem for path in (ROOT / "pipelines/profiles").glob("*.yaml"))
# One of each kind; paper-models names every endpoint's key.
RECIPES = {"training": "demo", "evaluation": "paper-models"}
SECRET = re.compile(r"[A-Z][A-Z0-9_]*(?:TOKEN|SECRET|PASSWORD|_KEY)(?:_[A-Z0-9_]+)?")
PROGRAM = """
import sys
from pipelines.cli.main import cli

recipe, pipeline, folder, *profiles = sys.argv[1:]
for profile in profiles:
    for kind in ("ir", "manifest"):
        name, _, file = profile.rpartition("=")
        out = f"{folder}/{name}-{kind}.yaml"
        # At least a sequence for each GPU of the largest profile.
        large = ["--set", "sft.global_batch=16", "--set", "grpo.prompts_per_step=16"] if pipeline == "training" else []
        where = ["--pipeline", pipeline, "--recipe", recipe, "--profile", file, "--format", kind, "-o", out, *large]
        cli.main(["compile", *where], standalone_mode=False)
"""


def secret_variables() -> set[str]:
    """Every environment variable that a profile, a recipe, a runner or a client of ours takes a secret from."""
    found = {variable for name in PROFILES for secret in site_profile(name).secrets for variable in secret.keys}
    found |= {name for recipe in RECIPES.values() for name in key_variables(load_any_recipe(recipe))}
    found |= {name for name in NAMES if SECRET.fullmatch(name)}
    # As the code writes a variable's name: in quotes, and in no other module's constant.
    sources = [
        path.read_text(encoding="utf-8")
        for part in ("components", "pipelines")
        for path in ROOT.glob(f"{part}/**/*.py")
    ]
    return found | {name for text in sources for name in re.findall(rf'"({SECRET.pattern})"', text)}


def test_the_names_are_found() -> None:
    assert secret_variables() >= {
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "DEEPSEEK_API_KEY", "HF_TOKEN", "KFP_TOKEN",
        "MLFLOW_TRACKING_PASSWORD", "OPENAI_API_KEY",
    }  # fmt: skip
    assert {"local", "docker", "kind", "a100x8", "h100x8"} <= set(PROFILES)


@pytest.mark.parametrize("pipeline", RECIPES)
def test_no_secret_of_the_environment_gets_into_a_compiled_file(pipeline: str, tmp_path: Path) -> None:
    shipped = (ROOT / f"pipelines/recipes/{RECIPES[pipeline]}.yaml").read_text(encoding="utf-8")
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "out"
    # GPU profiles take only what is pinned.
    recipe.write_text(pin_text(shipped, lambda *_: "a" * 40)[0], encoding="utf-8")
    out.mkdir()
    secrets = {**dict.fromkeys(secret_variables(), CANARY), "BIOMED_R1_STORE": f"s3://{CANARY}/x"}
    profiles = [f"{name}={SITE.get(name, name)}" for name in PROFILES]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(recipe), pipeline, str(out), *profiles],
        env={**os.environ, **secrets},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert CANARY not in done.stdout + done.stderr
    for name in PROFILES:
        # A training asks no endpoint, so its tasks get no keys for one.
        given = [s for s in site_profile(name).secrets if pipeline == "evaluation" or s.only_for != "endpoints"]
        named = {variable for secret in given for variable in secret.keys}
        for kind in ("ir", "manifest"):
            text = (out / f"{name}-{kind}.yaml").read_text(encoding="utf-8")
            assert CANARY not in text, (name, kind)
            # Secrets are there by name, so it is the right text that holds none.
            assert [variable for variable in named if variable not in text] == [], (name, kind)
            assert list(yaml.load_all(text, Loader=yaml.CSafeLoader))
