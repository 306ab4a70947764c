"""The registered versions of a model as the pointer knows them, and MLflow's alias as a copy of the pointer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.errors import DamagedError, InputError, ReadableError
from components.platform import faults
from components.platform.models import stored_weights_digest
from components.platform.storage import store
from components.platform.tracking import registry
from components.platform.tracking.answers import quickly
from components.serving import decisions
from components.serving.pointer import Served, read


def served(name: str, version: str) -> Served:
    """A registered version; raises InputError where there is none, DamagedError for one without a manifest."""
    found = registry.look_up(name, version=version)
    if found is None:
        raise InputError(f"{name} version {version}: not registered; `biomed-r1 models` lists the versions")
    return from_registry(found)


def adopted(name: str) -> Served | None:
    """The version that MLflow's alias calls the champion, for a model that has no pointer yet; None where none does."""
    found = registry.look_up(name, alias=registry.CHAMPION)
    if found is None:
        return None
    try:
        return from_registry(found)
    except DamagedError:
        return Served(version=str(found.version), uri=str(found.source), digest="")


def from_registry(found: Any, manifest: Mapping[str, Any] | None = None) -> Served:
    """A version as MLflow returns it; `manifest` is its source's, where that was read before.

    Raises DamagedError where its source has none.
    """
    uri = str(found.source)
    manifest = manifest or store.read_manifest(uri)
    if manifest is None:
        raise DamagedError(
            f"version {found.version}: {uri} has no {store.MANIFEST}: its files are gone; register it again"
        )
    return Served(
        version=str(found.version),
        uri=uri,
        digest=store.manifest_digest(manifest),
        weights=stored_weights_digest(manifest),
        decision=str(found.tags.get(decisions.TAG, "")),
    )


def project(root: str, name: str) -> list[str]:
    """Make MLflow's alias `champion` say what the pointer says; returns what could not be done, in words.

    The pointer has been moved when this is called: a registry that does not answer changes nothing of that, and is not
    waited for.
    """
    for _ in range(3):
        found = read(root, name)
        if found is None or found[0].champion is None:
            return []
        version = found[0].champion.version
        try:
            with quickly():
                if registry.aliases(name).get(registry.CHAMPION) != version:
                    registry.set_alias(name, registry.CHAMPION, version)
                    faults.point("alias set")
        except ReadableError as error:
            return [
                f"MLflow's alias {registry.CHAMPION} does not say version {version} yet ({error}); `biomed-r1 models` "
                "sets it once MLflow answers"
            ]
        again = read(root, name)
        if again and again[0].serial == found[0].serial:
            return []
    return []
