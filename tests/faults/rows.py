"""The rows of the fault matrix: what is wrong with a store, an MLflow or the machine while a command runs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Literal

from faulty_proxy import Answer, Asked, Rule, s3_error

DEAD = "http://127.0.0.1:9"
DELETED = "deleted-experiment"
Action = Literal["", "kill", "term", "twice", "disk", "clock"]


@dataclass(frozen=True)
class Row:
    """One fault: rules of the proxies before S3 and MLflow (made anew for each cell), variables, or what is done."""

    name: str
    s3: Callable[[], Rule] | None = None
    mlflow: Callable[[], Rule] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    action: Action = ""

    @property
    def kind(self) -> str:
        """What the fault is in: s3, mlflow or machine."""
        about_mlflow = self.mlflow or any(name.startswith("MLFLOW") for name in self.variables)
        return "s3" if self.s3 else "mlflow" if about_mlflow else "machine"


def verb(asked: Asked) -> str:
    """What a request to S3 does: put, multipart, get, list or delete."""
    if asked.method == "DELETE":
        return "multipart" if "uploadId" in asked.query else "delete"
    if asked.method in ("PUT", "POST"):
        return "multipart" if {"uploadId", "uploads"} & set(asked.query) else "put"
    return "get" if asked.path.strip("/").partition("/")[2] else "list"


def refusing(*verbs: str) -> Callable[[], Rule]:
    def made() -> Rule:
        return lambda asked: (
            s3_error(403, "AccessDenied", f"no right to {verb(asked)}") if verb(asked) in verbs else None
        )

    return made


def now_and_then(answer: Answer, every: int, first: int, *verbs: str) -> Callable[[], Rule]:
    """`first` of each `every` requests (of these verbs, else of all) get the answer."""

    def made() -> Rule:
        count = itertools.count()

        def rule(asked: Asked) -> Answer | None:
            return answer if (not verbs or verb(asked) in verbs) and next(count) % every < first else None

        return rule

    return made


def full() -> Rule:
    answer = s3_error(507, "InsufficientStorage", "no volume has room left")
    return lambda asked: answer if asked.method in ("PUT", "POST") else None


def clock() -> Rule:
    hour_off = formatdate(time.time() - 3600, usegmt=True)
    return lambda asked: s3_error(403, "RequestTimeTooSkewed", "the times are too far apart", Date=hour_off)


def api(answer: Answer) -> Callable[[], Rule]:
    """MLflow's API answers so; its pages and `/version` do not."""
    return lambda: lambda asked: answer if "/api/" in asked.path else None


def token() -> Rule:
    answer = Answer(401, "a bearer token is needed")
    return lambda asked: None if asked.headers.get("authorization", "").startswith("Bearer ") else answer


ROWS = (
    *(Row(f"S3: 403 on {name}", s3=refusing(name)) for name in ("put", "get", "list", "delete", "multipart")),
    Row("S3: bursts of 503", s3=now_and_then(s3_error(503, "SlowDown", "slow down"), 10, 3)),
    Row("S3: every third answer broken off", s3=now_and_then(Answer(0, cut=True), 3, 1, "get")),
    Row("S3: slow (0.3 s a request)", s3=now_and_then(Answer(0, wait=0.3), 1, 1)),
    Row("S3: full", s3=lambda: full()),
    Row("S3: read-only keys", s3=refusing("put", "multipart", "delete")),
    Row("S3: the clocks differ by an hour", s3=lambda: clock()),
    Row("MLflow: down", variables={"MLFLOW_TRACKING_URI": DEAD}),
    Row("MLflow: 403", mlflow=api(Answer(403, "Permission denied"))),
    Row("MLflow: wants a token", mlflow=lambda: token()),
    Row("MLflow: the experiment is deleted", variables={"MLFLOW_EXPERIMENT_NAME": DELETED}),
    Row("disk full", action="disk"),
    Row("SIGKILL", action="kill"),
    Row("SIGTERM", action="term"),
    Row("two at once", action="twice"),
    Row("clock step", action="clock"),
)
