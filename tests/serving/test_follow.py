"""`deploy --follow`: it deploys what the pointer says, tries a failed place again later, and tells Prometheus."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from urllib.request import urlopen

import pytest
from memory_target import NAME, Place, place

from components.errors import UnavailableError
from components.platform.processes import free_port
from components.platform.tracking import registry
from components.serving.deploy import metrics
from components.serving.deploy.follow import Follower, Look

__all__ = ["place"]


def test_it_follows_the_pointer_and_outlives_what_it_meets(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Follower(place.deployment(), every=0, again=300)
    assert "no version was promoted yet" in follower.look().error
    one = place.promote(1)
    assert follower.look().error == "" and place.target.seen[-1] == one.uri
    two = place.promote(2)
    place.target.faults[two.uri] = "image"
    assert "ImagePullBackOff" in follower.look().error
    place.target.calls.clear()
    assert "ImagePullBackOff" in follower.look().error and not place.target.calls  # too soon
    place.target.faults.clear()
    follower.again = 0
    assert follower.look().error == "" and place.target.seen[-1] == two.uri
    place.target.faults[place.promote(3).uri] = "wrong"
    assert "smoke test" in follower.look().error
    assert follower.look().error == "" and place.target.seen[-1] == two.uri

    def silent(*_: object) -> None:
        raise UnavailableError("the store did not answer")

    monkeypatch.setattr("components.serving.pointer.read", silent)
    assert follower.look().error == "the store did not answer"
    stop = threading.Event()
    follower.run(stop, lambda look: stop.set())


def _told(place: Place, look: Look, names: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(metrics, "answering", lambda url: names)
    return metrics.text(metrics.samples(place.root, NAME, place.target, look), metrics.HELP)


def test_metrics_say_champion_served_decision_and_look(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [("7", "refuse", "3"), ("6", "refuse", "2"), ("5", "promote", "1")]
    versions = [SimpleNamespace(version=v, tags={"gate.decision": d, "gate.look": n}) for v, d, n in said]
    monkeypatch.setattr(registry, "versions", lambda name: versions)
    one = place.promote(1)
    look = Follower(place.deployment()).look()
    text = _told(place, look, ["biomed-r1", one.uri], monkeypatch)
    assert f'biomed_r1_champion{{version="1",uri="{one.uri}"}} 1.0' in text
    assert f'biomed_r1_served{{version="1",uri="{one.uri}",colour="blue"}} 1.0' in text
    assert "biomed_r1_serving_champion 1.0" in text and "biomed_r1_deployer_failing 0.0" in text
    assert 'biomed_r1_gate_decision{version="7",decision="refuse"} 1.0' in text
    assert "biomed_r1_gate_refused_in_a_row 2.0" in text and 'biomed_r1_gate_look{version="7"} 3.0' in text
    assert "biomed_r1_serving_champion 0.0" in _told(place, look, [], monkeypatch)

    def silent(*_: object) -> list[SimpleNamespace]:
        raise ConnectionError

    monkeypatch.setattr(registry, "versions", silent)
    assert 'biomed_r1_deployer_failing{what="ConnectionError"} 1.0' in _told(place, look, [], monkeypatch)


def test_the_port_answers_before_the_first_look() -> None:
    exporter = metrics.Exporter(port := free_port())
    try:
        assert urlopen(f"http://127.0.0.1:{port}/health").status == 200
        exporter.tell([("biomed_r1_champion", {"version": 'a"b'}, 2.0)])
        assert b'biomed_r1_champion{version="a\\"b"} 2.0' in urlopen(f"http://127.0.0.1:{port}/metrics").read()
    finally:
        exporter.close()
