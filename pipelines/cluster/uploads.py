"""What a run or a schedule refers to on the cluster: the compiled pipeline as a version named by its content."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp_server_api

from components.errors import InputError, StageError
from components.platform.lineage import git_revision
from pipelines.cluster.client import Cluster, named
from pipelines.compile import Pipeline, check, check_pipeline, compiled, tell
from pipelines.settings.profile import Profile, load_profile
from pipelines.settings.recipes import AnyRecipe, load_any_recipe, pipeline_of
from pipelines.staging import staged_for

# Characters of the sha256 in a version's name: 48 bits, among the versions of one pipeline; as compile.py writes it.
DIGEST_LENGTH = 12
# Two uploads within one second have the same time in KFP; then the later one is made again, a second later.
TIE_SECONDS = 1.1
ATTEMPTS_TO_BE_LATEST = 3


@dataclass(frozen=True)
class Package:
    """A compiled pipeline as YAML text, its name in KFP, its recipe's, and in words what it was compiled from."""

    text: str
    name: str
    recipe: str
    description: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:DIGEST_LENGTH]


def chosen(
    pipeline: Pipeline | None, recipe: str, profile: str, changes: Sequence[str], models: str | None
) -> tuple[AnyRecipe, Profile]:
    """The recipe and the profile of these names; raises InputError for what a cluster should not get."""
    values, place = load_any_recipe(recipe, changes, models=models), load_profile(profile)
    check_pipeline(pipeline, values)
    if not place.cluster:
        raise InputError(f"profile {place.name}: is for one machine; a cluster takes one such as kind or a100x8")
    check(values, place)
    return values, place


def package(recipe: AnyRecipe, profile: Profile) -> Package:
    """The package of a recipe on a profile; what the recipe takes from this machine is stored for the run first."""
    values = staged_for(recipe, profile)
    tell(values, profile)
    text = compiled(values, profile)
    words = f"recipe {values.name} {values.digest()[:DIGEST_LENGTH]}, profile {profile.name}, revision {git_revision()}"
    return Package(text, f"biomed-r1-{pipeline_of(values)}", values.name, words)


def experiment_id(cluster: Cluster, name: str) -> str:
    """The id of the experiment of that name, created where it is missing."""
    api = cluster.api.experiments
    body = kfp_server_api.V2beta1Experiment(display_name=name, namespace=cluster.namespace)
    calls = api.experiment_service_list_experiments, api.experiment_service_create_experiment
    return str(_ensure(cluster, "experiment", name, *calls, body).experiment_id)


def pipeline_id(cluster: Cluster, name: str) -> str:
    """The id of the pipeline of that name, created empty where it is missing: its versions name themselves."""
    api = cluster.api.pipelines
    body = kfp_server_api.V2beta1Pipeline(name=name, display_name=name, namespace=cluster.namespace)
    calls = api.pipeline_service_list_pipelines, api.pipeline_service_create_pipeline
    return str(_ensure(cluster, "pipeline", name, *calls, body).pipeline_id)


def _ensure(
    cluster: Cluster, thing: str, name: str, listing: Callable[..., Any], make: Callable[..., Any], body: Any
) -> Any:
    def find() -> Any | None:
        doing = f"looking for the {thing} {name}"
        return next(cluster.pages(doing, listing, f"{thing}s", filter=named(name), **cluster.scope), None)

    return find() or cluster.create(f"creating the {thing} {name}", make, find, body)


@dataclass(frozen=True)
class Version:
    """A pipeline version on the cluster; `uploaded` says whether this call brought it there."""

    pipeline_id: str
    version_id: str
    name: str
    uploaded: bool


def upload(cluster: Cluster, package: Package, pipeline: str, latest: bool = False) -> Version:
    """The version of `pipeline` with this package's content, uploaded only where it is missing.

    Its name is the pipeline's with the content's digest, as `biomed-r1 compile --format manifest` names it.
    With `latest` it must also be the newest one, which is what a schedule runs: a recipe that returns to an earlier
    state is uploaded again, under the same digest with `-2`, `-3`, ... behind it.
    """
    parent = pipeline_id(cluster, pipeline)
    base = f"{pipeline}-{package.digest}"
    for _ in range(ATTEMPTS_TO_BE_LATEST):
        present = list_versions(cluster, parent)
        same = [v for v in present if v.display_name == base or v.display_name.startswith(f"{base}-")]
        usable = [v for v in same if not latest or is_latest(v, present)]
        if usable:
            return Version(parent, str(usable[0].pipeline_version_id), usable[0].display_name, False)
        name = f"{base}-{len(same) + 1}" if same else base
        made = _upload(cluster, package, parent, name)
        if not latest or is_latest(made, list_versions(cluster, parent)):
            return Version(parent, str(made.pipeline_version_id), name, True)
        time.sleep(TIE_SECONDS)
    raise StageError(
        f"pipeline {pipeline}: others upload versions in the same seconds, so KFP would run any of them; try again"
    )


def is_latest(version: Any, versions: Sequence[Any]) -> bool:
    """Whether KFP would take this version for the latest: it keeps whole seconds, and of equal ones takes any."""
    return all(
        other.pipeline_version_id == version.pipeline_version_id or other.created_at < version.created_at
        for other in versions
    )


def _upload(cluster: Cluster, package: Package, parent: str, name: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        file.write_text(package.text, encoding="utf-8")
        return cluster.create(
            f"uploading the pipeline version {name}",
            cluster.api.pipeline_uploads.upload_pipeline_version,
            lambda: next((v for v in list_versions(cluster, parent) if v.display_name == name), None),
            str(file),
            name=name,
            display_name=name,
            pipelineid=parent,
            description=package.description,
        )


def list_versions(cluster: Cluster, parent: str) -> list[Any]:
    """The versions of a pipeline, newest first, as KFP itself orders them to find the latest."""
    call = cluster.api.pipelines.pipeline_service_list_pipeline_versions
    doing = "listing the pipeline's versions"
    return list(cluster.pages(doing, call, "pipeline_versions", parent, sort_by="created_at desc"))
