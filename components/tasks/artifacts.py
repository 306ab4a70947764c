"""What a task sees of KFP's artifacts, so that kfp stays in `components.ops`."""

from __future__ import annotations

from typing import Any, Protocol


class Artifact(Protocol):
    """An input or output of a task: a local file and what is recorded with it."""

    path: str
    metadata: dict[str, Any]


class Metrics(Artifact, Protocol):
    """An output that KFP shows as a table of numbers."""

    def log_metric(self, metric: str, value: float) -> None: ...


class Curves(Artifact, Protocol):
    """An output that KFP shows as a ROC curve and a confusion matrix."""

    def log_roc_curve(self, fpr: list[float], tpr: list[float], threshold: list[float]) -> None: ...

    def log_confusion_matrix(self, categories: list[str], matrix: list[list[int]]) -> None: ...
