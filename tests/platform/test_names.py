"""Names that MLflow takes, from any text; and a real server that takes what they are made into."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name, _validate_param_name, _validate_tag_name

from components.platform.tracking import names
from components.platform.tracking import runs as tracking

ODD = ["MMLU (biology), 2024: clinical", "医学試験@k=1", "Anna's run", "a//b", "../x", ".", "", "x" * 400, "e\ud800"]


@pytest.fixture
def client(servers: object, monkeypatch: pytest.MonkeyPatch) -> Any:
    from mlflow import MlflowClient

    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "BIOMED_R1_PARENT_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    tracking._experiment.cache_clear()
    return MlflowClient()


@given(st.text() | st.sampled_from(ODD))
def test_mlflow_takes_every_key(text: str) -> None:
    made = names.key(text)
    for validate in (_validate_metric_name, _validate_param_name, _validate_tag_name):
        validate(made)
    assert 0 < len(made) <= names.LONGEST
    assert names.key(made) == made


@given(st.text(), st.text())
def test_two_texts_never_become_one_key(one: str, other: str) -> None:
    assert one == other or names.key(one) != names.key(other)


@pytest.mark.parametrize("text", ["accuracy_plain", "config.sampling.top_p", "医学試験", "a/b c-1", "gate.decision"])
def test_what_mlflow_takes_stays_as_it_is(text: str) -> None:
    assert names.key(text) == text


@given(st.text())
def test_an_identifier_is_a_folder_and_a_part_of_a_filter(text: str) -> None:
    made = names.identifier(text)
    assert 0 < len(made) <= names.LONGEST_ID and made not in (".", "..")
    assert made.isascii() and not set(made) & set("/'\"` ")


def test_identifiers_in_words() -> None:
    assert names.identifier("Anna's run") == "Anna-s-run"
    assert names.identifier("biomed-r1-8b") == "biomed-r1-8b"
    assert names.identifier("医学") == names.identifier("医学") != names.identifier("試験")


def test_odd_names_reach_a_real_server(client: Any) -> None:
    named = {name: float(number) for number, name in enumerate(ODD)}
    run = names.identifier("Anna's run")
    with tracking.pipeline_run(run, {"mapping": dict.fromkeys(ODD, "x")}, {"recipe": "Anna's run"}) as parent:
        parent.metrics({"accuracy": named})
        parent.tags(dict.fromkeys(ODD, "y"))
        parent.dataset("医学試験@k=1" * 60, "d" * 64, "s3://b/d", 1, "evaluation")
    assert tracking.parent_run(run) == parent.run_id
    data = client.get_run(parent.run_id).data
    assert {data.metrics[names.key(f"accuracy.{name}")] for name in ODD} == set(named.values())
    assert {names.key(name) for name in ODD} <= set(data.tags)
    assert {names.key(f"mapping.{name}") for name in ODD} <= set(data.params)


def test_a_value_that_mlflow_refuses_is_said_and_ends_nothing(
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with tracking.stage_run("run-refused", "ingest", "ingest") as tracked:
        monkeypatch.setattr(names, "key", lambda text: text)
        tracked.metrics({"accuracy of k=1": 1.0})
    assert client.get_run(tracked.run_id).info.status == "FINISHED"
    assert "MLflow took no metrics of this run: INVALID_PARAMETER_VALUE" in caplog.text
