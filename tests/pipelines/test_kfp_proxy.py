"""Kubeflow Pipelines behind a company's proxy: by variable or `--proxy`, with its password told to nobody else."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from faulty_proxy import Answer, Asked, Proxy, proxy

from components.errors import InputError
from pipelines.cluster.proxies import VARIABLE, proxy_of

SECRET = "p@ss:word"
HOST = "http://kfp.company.test"


@pytest.fixture
def company(kfp: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy that wants a password, behind which is a KFP that no name server knows."""
    wanted = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()

    def guard(asked: Asked) -> Answer | None:
        return None if asked.headers.get("proxy-authorization") == wanted else Answer(407, "no")

    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(VARIABLE, "")
    with proxy(kfp.url, guard) as server:
        server.with_password = server.url.replace("http://", "http://me:p%40ss%3Aword@")  # type: ignore[attr-defined]
        yield server


@pytest.mark.parametrize("how", ["HTTP_PROXY", "--proxy"])
def test_a_verb_reaches_kfp(company: Any, verb: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    words = ("schedule", "--list", "--host", HOST)
    direct = verb(*words)
    assert direct.code == 2 and "no answer" in direct.stderr
    if how == "HTTP_PROXY":
        monkeypatch.setenv(how, company.with_password)
    else:
        words = (*words, "--proxy", company.with_password)
    done = verb(*words)
    assert (done.code, done.stdout.strip()) == (0, "no schedules"), done
    assert company.asked and SECRET not in done.stderr


def test_which_proxy(monkeypatch: pytest.MonkeyPatch, company: Proxy) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", ".company.test,127.0.0.1")
    assert proxy_of("https://kfp.example") == ("http://proxy:3128", {})
    for near in ("https://kfp.company.test/x", "http://127.0.0.1:8888", "https://ml-pipeline.kubeflow.svc:8888"):
        assert proxy_of(near) == ("", {}), near
    monkeypatch.setenv(VARIABLE, f"ftp://me:{SECRET}@host")
    with pytest.raises(InputError, match="is not an address") as caught:
        proxy_of("https://kfp.example")
    assert SECRET not in str(caught.value)
