"""docs/operate.md: its commands parse, and what they name exists."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from kubectl import MANIFESTS, ROOT

from pipelines.cli.main import VERBS, cli

CHAPTER = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
BLOCKS = "\n".join(re.findall(r"```sh[^\n]*\n(.*?)```", CHAPTER, re.DOTALL)).replace("\\\n", " ")
OURS = [shlex.split(line, comments=True)[1:] for line in BLOCKS.splitlines() if line.startswith("biomed-r1 ")]


def _parsed(verb: str, arguments: list[str]) -> dict[str, Any]:
    """The options as click understands them; raises for one that does not exist."""
    command = cli.get_command(None, verb)
    with command.make_context(verb, list(arguments)) as context:
        return dict(context.params)


@pytest.mark.parametrize("words", OURS, ids=" ".join)
def test_our_commands_parse_and_suit_a_kfp_of_several_users(words: list[str]) -> None:
    verb, *arguments = words
    assert verb in VERBS
    options = _parsed(verb, arguments)
    if verb in ("submit", "watch", "schedule"):
        assert options["namespace"] == "biomed-r1"
    if verb == "submit" or options.get("cron"):
        assert options["service_account"] == "biomed-r1-runner"


def test_every_verb_of_the_cluster_is_shown() -> None:
    assert {words[0] for words in OURS} >= {"pin", "compile", "submit", "watch", "schedule"}


def test_the_token_is_made_for_an_account_and_an_audience() -> None:
    """The variable that pipelines/cluster/client.py reads, filled for the account that may submit."""
    from pipelines.cluster.client import TOKEN_VARIABLE

    made = re.search(
        rf'export {TOKEN_VARIABLE}="\$\(kubectl -n biomed-r1 create token ([\w-]+) --audience (\S+)', BLOCKS
    )
    assert made
    assert made.groups() == ("biomed-r1-scheduler", "pipelines.kubeflow.org")


def test_the_profile_makes_the_namespace() -> None:
    assert "create namespace" not in CHAPTER
    assert BLOCKS.index("apply -f manifests/profile.yaml") < BLOCKS.index("-k manifests/overlays/")


def test_what_is_named_exists(rendered: dict[str, list[dict[str, Any]]]) -> None:
    objects = {f"{item['kind'].lower()}/{item['metadata']['name']}" for item in rendered["kind"] + rendered["prod"]}
    for path in re.findall(r"\bmanifests/[\w./-]*\w", CHAPTER):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\boverlays/[\w./-]*\w", CHAPTER):
        assert (MANIFESTS / path).exists(), path
    for named in re.findall(r"-n biomed-r1 .*?\b((?:deployment|cronjob|service)/[\w-]+)", BLOCKS):
        assert named in objects, named


def test_images_are_built_by_stages_that_exist() -> None:
    """A Dockerfile's last stage is the one that lists what is inside, so a build without --target builds that."""
    assert "docker build" not in CHAPTER
    for image in re.findall(r"make images.*IMAGES=(\w+)", BLOCKS):
        text = (ROOT / f"images/{image}.Dockerfile").read_text(encoding="utf-8")
        assert f" AS {image}\n" in text
