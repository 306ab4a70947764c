"""Everything a run needs, checked in seconds before any work."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import psutil

from components.errors import InputError
from components.platform import models
from components.platform.checks.findings import Check, Finding, found
from components.platform.checks.object_store import check_store
from components.platform.checks.place import check_home
from components.platform.checks.tracking_server import check_tracking
from components.platform.machine import existing, home
from components.questions.items import QUESTION_TYPES, Item
from components.stages.ingest import labelled_items, read_source
from pipelines.local.servers import wanted
from pipelines.settings.evaluation_recipe import EvaluationRecipe
from pipelines.settings.memory import check_memory
from pipelines.settings.pins import unpinned
from pipelines.settings.profile import Profile
from pipelines.settings.recipes import AnyRecipe, model_references

# What a demo run writes outside the virtual environment, measured, and rounded up.
NEEDED_DISK_BYTES = 8 * 10**9
NEEDED_MEMORY_BYTES = 6 * 10**9


def check_recipe_inputs(recipe: AnyRecipe) -> None:
    """Raise InputError unless every question set can be read and every model reference can work."""
    if moving := unpinned(recipe):
        raise InputError(
            f"recipe {recipe.name}: {', '.join(moving)}: not pinned; where the hub can be reached, "
            f"`biomed-r1 pin {recipe.name} -o FILE` writes a recipe that is"
        )
    if not recipe.data.benchmarks.startswith("hf:"):
        read = read_source(recipe.data.benchmarks, "benchmarks", recipe.ingest.defects, recipe.ingest.mapping)
        _check_labels(recipe, [item for source in read for item in source.items])
    if not recipe.data.train.startswith("hf:"):
        read_source(recipe.data.train, "train", recipe.ingest.defects, recipe.ingest.mapping)
    for reference in model_references(recipe):
        models.check_reference(reference)
    _check_templates(recipe)


def _check_templates(recipe: AnyRecipe) -> None:
    """Raise InputError for a base model in a folder here; models elsewhere are looked at when they are fetched."""
    if isinstance(recipe, EvaluationRecipe):
        given = {model.model: model.evaluate.chat_template for model in recipe.models}
    else:
        given = {recipe.base_model: None}  # a template for answers alone would not train it
    for reference, template in given.items():
        if Path(reference).is_dir():
            models.check_chat_template(reference, Path(reference), template)


def _check_labels(recipe: AnyRecipe, benchmarks: Sequence[Item]) -> None:
    """Raise InputError where the run would train a classifier on labels that are not there."""
    if recipe.classify is None or recipe.classify.learner == "released":
        return
    from components.classifier.fitting import MIN_GROUPS
    from components.classifier.metrics import stem_id

    found = labelled_items(benchmarks, recipe.ingest)
    counts = {kind: len({stem_id(item) for item in found if item.question_type == kind}) for kind in QUESTION_TYPES}
    if min(counts.values()) < MIN_GROUPS:
        where = recipe.ingest.labels_from or recipe.data.benchmarks
        told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        raise InputError(
            f"{where}: question_type: labels of {told} questions; the classifier of {recipe.name} learns from at "
            f"least {MIN_GROUPS} of each. Give --labels samples (or a folder with labelled questions), or --classifier "
            "REF (one that is trained), or label some (`biomed-r1 label-sample`)"
        )


def check_disk(needed: int = NEEDED_DISK_BYTES) -> None:
    """Raise InputError unless the home folder's disk has room for a run."""
    needed = int(os.environ.get("BIOMED_R1_NEEDED_DISK_BYTES", needed))
    free = shutil.disk_usage(existing(home())).free
    if free < needed:
        raise InputError(
            f"BIOMED_R1_HOME={home()}: {free / 1e9:.1f} GB free, a run writes up to {needed / 1e9:.1f} GB; "
            "free some space or set BIOMED_R1_HOME to a larger disk"
        )


def check_configured_servers() -> None:
    """Raise InputError, with all that was found, unless the servers that the environment names do what a run asks."""
    failed = [f"{f.label}: {f.text}" for f in configured_servers() if f.level == "failed"]
    if failed:
        raise InputError("\n".join(failed))


def configured_servers() -> Iterator[Finding]:
    """The round trips to the servers that the environment names (embedded ones are not up yet)."""
    if uri := os.environ.get("BIOMED_R1_STORE"):
        yield from found("S3", partial(check_store, uri))
    if os.environ.get("MLFLOW_TRACKING_URI"):
        yield from found("MLflow", check_tracking)


def _memory() -> None:
    available = psutil.virtual_memory().available
    if available < NEEDED_MEMORY_BYTES:
        raise InputError(f"{available / 1e9:.1f} GB of memory available, the demo uses up to 6; close something")


def _python() -> None:
    if sys.version_info[:2] != (3, 11):
        raise InputError(f"Python {sys.version.split()[0]}: the pinned packages are tested on 3.11")


def _packages() -> None:
    for name in models.PACKAGES:
        models.check_reference(f"package:{name}")


def checks(recipe: AnyRecipe) -> list[tuple[str, Check]]:
    """What a run of this recipe needs: in words, and a check that yields findings or raises InputError."""
    embedded = wanted()
    sets = f"{recipe.data.benchmarks} and {recipe.data.train}"
    servers = "embedded, started by a run" if embedded else "configured"
    inputs = f"recipe {recipe.name}: data {sets}, models {', '.join(dict.fromkeys(model_references(recipe)))}"
    return [
        ("Python", _python),
        (f"home {home()}", partial(check_home, embedded)),
        (f"disk at {home()}", check_disk),
        ("memory", _memory),
        ("packaged models", _packages),
        (f"S3 and MLflow ({servers})", configured_servers),
        (inputs, partial(check_recipe_inputs, recipe)),
    ]


def findings(recipe: AnyRecipe) -> Iterator[Finding]:
    """All that is found of what a run of this recipe needs, check by check."""
    for label, check in checks(recipe):
        yield from found(label, check)


def profile_findings(recipe: AnyRecipe, profile: Profile) -> Iterator[Finding]:
    """What a cluster's profile says of a recipe, without a cluster: memory of each GPU, and what is still to be set.

    What a site has to set, or pin, is a warning here; `compile` and `submit` refuse without it.
    """
    yield from found(f"GPU memory, profile {profile.name}", partial(_memory_findings, recipe, profile))
    try:
        profile.check_ready()
    except InputError as error:
        yield Finding(f"profile {profile.name}", "warning", str(error))
    if moving := unpinned(recipe):
        yield Finding(f"recipe {recipe.name}", "warning", f"{', '.join(moving)}: not pinned (`biomed-r1 pin`)")
    yield from configured_servers()


def _memory_findings(recipe: AnyRecipe, profile: Profile) -> Iterator[Finding]:
    sums = check_memory(recipe, profile)
    for entry in sums:
        yield Finding(str(entry))
    if not sums and profile.uses_gpus:
        yield Finding("GPU memory", "warning", "not summed: a base model of unknown shape, or no trainer.gpu_gib")
