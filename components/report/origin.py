"""What a page was made by: the run, its recipe, the code and the models, with addresses to look further."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata

from components.report.page import Fact

_REVISION_DIGITS = 12


@dataclass(frozen=True)
class Origin:
    """The run that made a page; `models` are references by name, `mlflow` and `store` addresses. "" is left out."""

    run: str
    recipe: str
    revision: str
    models: Mapping[str, str] = field(default_factory=dict)
    mlflow: str = ""
    store: str = ""
    made: datetime = field(default_factory=lambda: datetime.now(UTC))

    def facts(self) -> list[Fact]:
        """Names and values for the head of the page; times are UTC."""
        revision, _, dirty = self.revision.partition("-")
        shown = revision[:_REVISION_DIGITS] + (" with uncommitted changes" if dirty else "")
        known = [
            Fact("Run", self.run),
            Fact("Made", f"{self.made:%Y-%m-%d %H:%M} UTC"),
            Fact("Recipe", self.recipe),
            Fact("Code", f"biomed-r1 {version()}, revision {shown}"),
            *(Fact(f"Model {name}", reference) for name, reference in self.models.items()),
            Fact("MLflow", self.mlflow, _link(self.mlflow)),
            Fact("S3", self.store, _link(self.store)),
        ]
        return [fact for fact in known if fact.text]


def _link(address: str) -> str:
    """An address that a reader may follow; a store or server on a disk is named and not linked."""
    return address if address.startswith(("http://", "https://", "s3://")) else ""


def version() -> str:
    """The version of this package; "unknown" where it runs without being installed."""
    try:
        return metadata.version("biomed-r1")
    except metadata.PackageNotFoundError:
        return "unknown"
