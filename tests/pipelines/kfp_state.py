"""What a Kubeflow Pipelines API keeps and answers, taking nothing it does not know.

Every body, filter and query is checked against the model classes of kfp-server-api, field by field: what these do not
declare is a breach of the contract, answered 400 and kept in `breaches`. Rules of the real server that matter to a
client are kept: unique names of experiments, pipelines and versions (but not of recurring runs), namespaces only where
it serves several users, the default service account filled in, pages no longer than it likes.
"""

from __future__ import annotations

import datetime
import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import kfp_server_api
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from pipelines.cluster.cron import parse_cron

CONVERTER = kfp_server_api.ApiClient()
LONGEST_PAGE = 2
Json = dict[str, Any]


class Refused(Exception):
    """An answer that is an error: status, and the message in KFP's error body."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class KfpState:
    """What the server keeps, by kind, and the breaches of the contract so far."""

    def __init__(self, multi_user: bool = False) -> None:
        self.multi_user = multi_user
        self.kept: dict[str, list[Json]] = {k: [] for k in ("experiment", "pipeline", "version", "run", "recurring")}
        self.breaches: list[str] = []
        # Every pipeline that was uploaded, as text.
        self.packages: list[str] = []
        # What each look at a run finds, the last for ever: fields, or the status of a refusal.
        self.script: list[Json | int] = [{"state": "SUCCEEDED"}]
        self.most_enabled = 0
        # Kubernetes's objects of scheduled runs: run id to the recurring run that owns it; what is gone is collected.
        self.workflows: dict[str, str] = {}
        # Versions' specs by their id, and the runs that were asked to end.
        self.specs: dict[str, Json] = {}
        self.terminated: list[str] = []
        self.seconds = 0
        # How many of the next things are made in the same second as the one before.
        self.same_second = 0
        self._count = 0
        self._lock = threading.Lock()

    def enabled(self, name: str) -> list[Json]:
        return [r for r in self.kept["recurring"] if r["display_name"] == name and r["mode"] == "ENABLE"]

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Json:
        with self._lock:
            for pattern, allowed, act in _ROUTES:
                match = re.fullmatch(pattern, f"{method} {path}")
                if match:
                    if unknown := set(query) - set(allowed.split()):
                        raise self.breach(f"{method} {path}: query {sorted(unknown)}")
                    result = act(self, SimpleNamespace(ids=match.groups(), query=query, body=body))
                    names = Counter(r["display_name"] for r in self.kept["recurring"] if r["mode"] == "ENABLE")
                    self.most_enabled = max([self.most_enabled, *names.values()])
                    return result
        raise self.breach(f"{method} {path}: no such call")

    def breach(self, text: str) -> Refused:
        self.breaches.append(text)
        return Refused(400, text)

    def parsed(self, name: str, value: Any) -> Json:
        """A body as the model class reads it, refused where a field is unknown or of another type."""
        try:
            _check(name, value, name)
        except TypeError as error:
            raise self.breach(str(error)) from None
        model = CONVERTER.deserialize(SimpleNamespace(data=json.dumps(value)), name)
        result: Json = CONVERTER.sanitize_for_serialization(model)
        return result

    def add(self, kind: str, record: Json, unique: Callable[[Json], Any] | None = None) -> Json:
        self._scoped(record.get("namespace"), kind in ("experiment", "pipeline"))
        if unique and any(unique(other) == unique(record) for other in self.kept[kind]):
            raise Refused(409, f"{kind} {record['display_name']} already exists")
        self._count += 1
        if self.same_second:
            self.same_second -= 1
        else:
            self.seconds += 1
        time = self.now()
        ids = {"version": "pipeline_version_id", "recurring": "recurring_run_id"}
        record |= {ids.get(kind, f"{kind}_id"): f"{kind}-{self._count}", "created_at": time.isoformat()}
        self.kept[kind].append(record)
        return record

    def now(self) -> datetime.datetime:
        """The server's clock, which goes on by a second for everything that is made; KFP keeps whole seconds."""
        return datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(seconds=self.seconds)

    def one(self, kind: str, key: str, value: str) -> Json:
        found = [r for r in self.kept[kind] if r[key] == value]
        if not found:
            raise Refused(404, f"{kind} {value} not found")
        return found[0]

    def listed(self, kind: str, field: str, query: dict[str, str], **where: str) -> Json:
        if kind in ("experiment", "pipeline") or (kind == "recurring" and "experiment_id" not in query):
            self._scoped(query.get("namespace"), True)
        records = [r for r in self.kept[kind] if all(r[k] == v for k, v in where.items())]
        if "experiment_id" in query:
            records = [r for r in records if r["experiment_id"] == query["experiment_id"]]
        if query.get("filter"):
            for predicate in self.parsed("V2beta1Filter", json.loads(query["filter"]))["predicates"]:
                if predicate["operation"] != "EQUALS" or predicate["key"] != "display_name":
                    raise self.breach(f"filter {predicate}")
                records = [r for r in records if r["display_name"] == predicate["string_value"]]
        if query.get("sort_by") == "created_at desc":
            # Of equal times any may come first; here the older one, which is the worse case.
            records = sorted(records, key=lambda r: str(r["created_at"]), reverse=True)
        start = int(query.get("page_token") or 0)
        end = start + min(int(query.get("page_size", 10)), LONGEST_PAGE)
        return {field: records[start:end], "next_page_token": str(end) if end < len(records) else ""}

    def _scoped(self, namespace: str | None, needed: bool) -> None:
        if namespace and not self.multi_user:
            raise Refused(400, "In single-user mode, there is no namespace")
        if needed and self.multi_user and not namespace:
            raise Refused(400, "In multi-user mode, a namespace is needed")


def _check(type_name: str, value: Any, where: str) -> None:
    """Raises TypeError naming the field that the model class does not declare, or declares otherwise."""
    plain = {"str": str, "int": int, "bool": bool, "datetime": str, "object": object}
    if type_name.startswith("list["):
        for item in value:
            _check(type_name[5:-1], item, f"{where}[]")
    elif type_name.startswith("dict(str, "):
        for item in value.values():
            _check(type_name[10:-1], item, f"{where}{{}}")
    elif type_name in plain:
        if not isinstance(value, plain[type_name]):
            raise TypeError(f"{where}: {value!r} is no {type_name}")
    else:
        model = getattr(kfp_server_api, type_name)
        if hasattr(model, "allowable_values"):
            if value not in model.allowable_values:
                raise TypeError(f"{where}: {value!r} is no {type_name}")
            return
        fields = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
        for name, item in value.items():
            if name not in fields:
                raise TypeError(f"{where}: unknown field {name!r}")
            _check(fields[name], item, f"{where}.{name}")


def _list_versions(server: KfpState, call: Any) -> Json:
    return server.listed("version", "pipeline_versions", call.query, pipeline_id=call.ids[0])


@lru_cache(maxsize=8)
def _check_package(text: str | bytes) -> None:
    """Raises for what is no pipeline spec, with a platform spec behind it or not."""
    documents = list(yaml.load_all(text, Loader=yaml.CSafeLoader))
    json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
    for document in documents[1:]:
        json_format.ParseDict(document, pipeline_spec_pb2.PlatformSpec())


@lru_cache(maxsize=8)
def _spec(text: str) -> Json:
    """What the API answers as a version's spec: both documents of the package."""
    documents = list(yaml.load_all(text, Loader=yaml.CSafeLoader))
    return {"pipeline_spec": documents[0], "platform_spec": documents[1] if documents[1:] else {}}


def _create_version(server: KfpState, call: Any) -> Json:
    _check_package(call.body)
    q = call.query
    server.one("pipeline", "pipeline_id", q["pipelineid"])
    server.packages.append(call.body if isinstance(call.body, str) else call.body.decode())
    record = {k: q[k] for k in ("name", "display_name", "description")} | {"pipeline_id": q["pipelineid"]}
    made = server.add("version", record, lambda r: (r["pipeline_id"], r["display_name"]))
    server.specs[made["pipeline_version_id"]] = _spec(server.packages[-1])
    return made


def _create_run(server: KfpState, call: Any) -> Json:
    run = server.parsed("V2beta1Run", call.body)
    server.one("version", "pipeline_version_id", run["pipeline_version_reference"]["pipeline_version_id"])
    server.one("experiment", "experiment_id", run["experiment_id"])
    return server.add("run", run | {"state": "PENDING", "looks": 0})


def _get_run(server: KfpState, call: Any) -> Json:
    run = server.one("run", "run_id", call.ids[0])
    step = server.script[min(run["looks"], len(server.script) - 1)]
    run["looks"] += 1
    if isinstance(step, int):
        raise Refused(step, "by the script")
    return {k: v for k, v in run.items() if k != "looks"} | step


def _get_version(server: KfpState, call: Any) -> Json:
    version = server.one("version", "pipeline_version_id", call.ids[1])
    return version | {"pipeline_spec": server.specs[version["pipeline_version_id"]]}


def _terminate(server: KfpState, call: Any) -> Json:
    server.one("run", "run_id", call.ids[0])
    server.terminated.append(call.ids[0])
    return {}


def _create_recurring(server: KfpState, call: Any) -> Json:
    run = server.parsed("V2beta1RecurringRun", call.body)
    reference = run["pipeline_version_reference"]
    server.one("pipeline", "pipeline_id", reference["pipeline_id"])
    server.one("experiment", "experiment_id", run["experiment_id"])
    parse_cron(run["trigger"]["cron_schedule"]["cron"])
    run.setdefault("service_account", "pipeline-runner")
    return server.add("recurring", run)


def _switch(server: KfpState, call: Any) -> Json:
    run = server.one("recurring", "recurring_run_id", call.ids[0])
    run |= {"mode": call.ids[1].upper(), "updated_at": server.now().isoformat()}
    return {}


def _delete_recurring(server: KfpState, call: Any) -> Json:
    policy = call.query.get("propagation_policy", "BACKGROUND")
    if policy not in ("FOREGROUND", "BACKGROUND", "ORPHAN"):
        raise server.breach(f"propagation_policy {policy}")
    server.kept["recurring"].remove(server.one("recurring", "recurring_run_id", call.ids[0]))
    if policy != "ORPHAN":
        # Kubernetes collects what the ScheduledWorkflow owns: KFP then shows the run RUNNING for ever.
        server.workflows = {run: owner for run, owner in server.workflows.items() if owner != call.ids[0]}
    return {}


_LIST = "page_token page_size sort_by filter namespace"
_ROUTES: list[tuple[str, str, Callable[[KfpState, Any], Json]]] = [
    ("GET /healthz", "", lambda s, c: {"multi_user": s.multi_user}),
    ("GET /experiments", _LIST, lambda s, c: s.listed("experiment", "experiments", c.query)),
    ("POST /experiments", "", lambda s, c: s.add("experiment", s.parsed("V2beta1Experiment", c.body), _by_name)),
    ("GET /pipelines", _LIST, lambda s, c: s.listed("pipeline", "pipelines", c.query)),
    ("POST /pipelines", "", lambda s, c: s.add("pipeline", s.parsed("V2beta1Pipeline", c.body), _by_name)),
    ("GET /pipelines/([^/]+)/versions", _LIST, _list_versions),
    ("GET /pipelines/([^/]+)/versions/([^/]+)", "", _get_version),
    ("POST /pipelines/upload_version", "name display_name pipelineid description", _create_version),
    ("GET /runs", f"{_LIST} experiment_id", lambda s, c: s.listed("run", "runs", c.query)),
    ("POST /runs", "experiment_id", _create_run),
    ("GET /runs/([^/]+)", "experiment_id", _get_run),
    ("POST /runs/([^/:]+):terminate", "experiment_id", _terminate),
    ("GET /recurringruns", f"{_LIST} experiment_id", lambda s, c: s.listed("recurring", "recurringRuns", c.query)),
    ("POST /recurringruns", "", _create_recurring),
    ("POST /recurringruns/([^/:]+):(enable|disable)", "", _switch),
    ("DELETE /recurringruns/([^/]+)", "propagation_policy", _delete_recurring),
]  # fmt: skip


def _by_name(record: Json) -> Any:
    return (record["display_name"], record.get("namespace"))
