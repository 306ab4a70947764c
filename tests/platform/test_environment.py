"""A password in MLflow's address is taken out of it before anything can print, store or log the address."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest
from faulty_proxy import Answer, Asked, proxy

from components.errors import InputError
from components.platform.environment import quiet_environment

USER, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", USER, PASSWORD):
        monkeypatch.setenv(name, "x")  # so that what the tests set is undone
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("given", "left", "user", "password"),
    [
        ("http://anna:pa%2Fss@host:5000/x", "http://host:5000/x", "anna", "pa/ss"),
        ("https://anna:p@ss@host", "https://host", "anna", "p@ss"),
        ("postgresql://anna:pass@host/db", "postgresql://host/db", "anna", "pass"),
        ("http://token@host", "http://host", None, None),
        ("http://host:5000", "http://host:5000", None, None),
        ("sqlite:////a@b/mlflow.db", "sqlite:////a@b/mlflow.db", None, None),
    ],
)
def test_user_and_password_get_variables_of_their_own(
    monkeypatch: pytest.MonkeyPatch, given: str, left: str, user: str | None, password: str | None
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    quiet_environment()
    found = tuple(os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", USER, PASSWORD))
    assert found == (left, user, password)


@pytest.mark.parametrize("uri", ["http://anna:pa/ss@host", "http://anna:12#ss@host", "http://anna:12?s@host:5000"])
def test_a_password_that_cannot_be_told_from_the_path_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(InputError, match="set MLFLOW_TRACKING_USERNAME") as refused:
        quiet_environment()
    assert "ss@" not in str(refused.value) and "anna" not in str(refused.value)


def test_the_server_gets_it_all_the_same(servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from components.platform.tracking import runs as tracking

    def guarded(asked: Asked) -> Answer | None:
        return None if asked.headers.get("authorization") == "Basic YW5uYTpwYTpzcw==" else Answer(401, "who?")

    with proxy(servers["MLFLOW_TRACKING_URI"], guarded) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url.replace("://", "://anna:pa%3Ass@"))
        quiet_environment()
        tracking.check()
        monkeypatch.setenv(PASSWORD, "another")
        with pytest.raises(InputError, match="who") as refused:
            tracking.check()
        assert "another" not in str(refused.value)
