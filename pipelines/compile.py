"""A recipe on a profile as KFP IR, or as Kubernetes resources for GitOps."""

from __future__ import annotations

import hashlib
import importlib
import logging
import tempfile
from pathlib import Path
from typing import Any, Literal

from components.errors import InputError
from pipelines.linter import check_graph
from pipelines.settings.memory import check_memory
from pipelines.settings.profile import Profile
from pipelines.settings.recipes import AnyRecipe, key_variables, pipeline_of
from pipelines.staging import local_references

LOG = logging.getLogger(__name__)
Format = Literal["ir", "manifest"]
Pipeline = Literal["training", "evaluation"]
# name -> the function that makes it from a recipe and a profile; imported when asked for, with kfp
PIPELINES: dict[Pipeline, str] = {
    "training": "pipelines.training:training_pipeline",
    "evaluation": "pipelines.evaluation:evaluation_pipeline",
}


def check_pipeline(asked: Pipeline | None, recipe: AnyRecipe) -> None:
    """Raise InputError when a pipeline was asked for and the recipe is for the other one."""
    if asked not in (None, pipeline_of(recipe)):
        raise InputError(f"recipe {recipe.name}: is for --pipeline {pipeline_of(recipe)}, not {asked}")


def check(recipe: AnyRecipe, profile: Profile) -> None:
    """Raise InputError when a cluster should not get this: images not named, a hub reference that can move, or a
    training that its GPUs cannot hold."""
    profile.check_ready()
    if profile.uses_gpus:
        from pipelines.settings.pins import unpinned

        if found := unpinned(recipe):
            raise InputError(
                f"recipe {recipe.name}: {', '.join(found)}: not pinned to a revision, and GPU profiles take nothing "
                f"that can change; where a hub can be reached, run `biomed-r1 pin {recipe.name} -o FILE`; use FILE"
            )
    for entry in check_memory(recipe, profile):
        LOG.info("%s", entry)


def tell(recipe: AnyRecipe, profile: Profile) -> None:
    """Say on stderr what compiles and will not run as it is: references to this machine, keys that no Secret gives."""
    if not profile.cluster:
        return
    if local := local_references(recipe):
        LOG.warning(
            "recipe %s names %s, which no image holds: the run's doctor will refuse that; `biomed-r1 stage` with this "
            "recipe and profile stores them and writes the recipe to compile",
            recipe.name,
            ", ".join(local),
        )
    given = {variable for secret in profile.secrets for variable in secret.keys}
    if missing := [variable for variable in key_variables(recipe) if variable not in given]:
        LOG.warning(
            "no Secret of profile %s gives %s: recipe %s would ask its endpoints without a key; a site's profile names "
            "the Secret that has it under `secrets`",
            profile.name,
            ", ".join(missing),
            recipe.name,
        )


def build(recipe: AnyRecipe, profile: Profile) -> Any:
    """The KFP pipeline that the recipe is for."""
    module, _, function = PIPELINES[pipeline_of(recipe)].partition(":")
    return getattr(importlib.import_module(module), function)(recipe, profile)


def compiled(recipe: AnyRecipe, profile: Profile, kind: Format = "ir") -> str:
    """A recipe's pipeline as YAML text; the same text for the same recipe, profile and code.

    Raises InputError for a graph that a cluster could not run (pipelines/linter.py).
    """
    from kfp.compiler import Compiler

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        built = build(recipe, profile)
        Compiler().compile(built, str(file))
        text = file.read_text(encoding="utf-8")
        check_graph(text, f"recipe {recipe.name}, profile {profile.name}")
        if kind == "ir":
            return text
        _write_manifest(built, f"{built.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}", file)
        return file.read_text(encoding="utf-8")


def _write_manifest(built: Any, version: str, file: Path) -> None:
    """Pipeline and PipelineVersion (pipelines.kubeflow.org/v2beta1); kustomize adds the namespace.

    A version cannot be changed in Kubernetes, so its name is that of its content, as `biomed-r1 submit` names it.
    """
    from kfp.compiler import Compiler
    from kfp.compiler.compiler_utils import KubernetesManifestOptions

    options = KubernetesManifestOptions(
        pipeline_name=built.name,
        pipeline_version_name=version,
        pipeline_version_display_name=version,
        include_pipeline_manifest=True,
    )
    Compiler().compile(built, str(file), kubernetes_manifest_options=options, kubernetes_manifest_format=True)
