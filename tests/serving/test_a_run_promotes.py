"""The end of a training run: a registered version is promoted, proposed or refused, and its deployment awaited."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from components.errors import StageError, UnavailableError
from components.platform import notify
from components.platform.storage import objects, s3, store
from components.serving import pointer
from components.serving.deploy import status as statuses
from components.serving.pointer import Served
from components.stages.await_deployment import AwaitConfig, await_deployment
from components.stages.promote import PromoteConfig, promote


def asked(shelf: Any, version: str, promotion: Any = "auto", run: str = "r1") -> dict[str, Any]:
    return promote(shelf.root, version, run, PromoteConfig(name=shelf.name, promotion=promotion))


def test_what_a_run_may_do(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a person, only when the recipe says auto; a refusal is a result and is told."""
    told: list[str] = []
    monkeypatch.setattr(notify, "tell", lambda text: told.append(text) or True)
    one = shelf.register()
    waiting = asked(shelf, "1", "manual")
    assert (waiting["outcome"], waiting["serial"]) == ("proposed", 1) and "--approve --reason" in waiting["reasons"][0]
    assert asked(shelf, "1")["outcome"] == "promoted"
    assert asked(shelf, "1")["outcome"] == "already"
    found = pointer.read(shelf.root, shelf.name)
    assert found and found[0].champion == one
    assert (found[0].changed.by, found[0].changed.run) == ("run r1", "r1")
    shelf.register(against="1", decision="refuse")
    refused = asked(shelf, "2", run="r2")
    assert (refused["outcome"], refused["promotion"]) == ("refused", "auto")
    assert refused["reasons"] == ["the gate refused it: not shown to be better"]
    assert [text.rpartition(": ")[0] for text in told[2:]] == [
        f"{shelf.name} version 2 of run r2 was not promoted: the gate refused it"
    ]
    assert len(told) == 3, "proposed, promoted, refused"


def test_a_decision_against_an_older_champion_is_refused_and_the_run_goes_on(shelf: Any) -> None:
    for against in ("", "1", "1"):
        shelf.register(against=against)
    assert [asked(shelf, version)["outcome"] for version in "123"] == ["promoted", "promoted", "refused"]
    assert asked(shelf, "3")["reasons"] == ["decided against version 1, champion is 2: evaluate again"]


def test_damaged_weights_are_refused(shelf: Any) -> None:
    one = shelf.register()
    bucket, key = s3.split(f"{one.uri}/model.safetensors")
    s3.client().put_object(Bucket=bucket, Key=key, Body=b"other")
    refused = asked(shelf, "1")
    assert refused["outcome"] == "refused" and "model.safetensors" in refused["reasons"][0]
    assert pointer.read(shelf.root, shelf.name) is None


def test_a_store_that_does_not_answer_is_no_refusal(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.register()

    def away(*arguments: Any) -> Any:
        raise UnavailableError("s3://x: the store did not answer; try again")

    monkeypatch.setattr("components.serving.promote.read", away)
    with pytest.raises(UnavailableError):
        asked(shelf, "1")


class Place:
    """A target's status in a folder, written as a deployer would."""

    def __init__(self, root: Path) -> None:
        self.root, self.uri = str(root / "store"), str(root / "model")
        (root / "files").mkdir()
        (root / "files" / "model.safetensors").write_bytes(b"weights")
        self.digest = store.manifest_digest(store.put_dir(root / "files", self.uri, stage="grpo", key="k"))

    def says(self, state: statuses.State, serial: int, digest: str = "", **more: Any) -> None:
        what = Served(version="7", uri=self.uri, digest=digest or self.digest)
        made = statuses.Status(target="t", serial=serial, what=what, colour="blue", state=state, since="", **more)
        objects.put_json(statuses.status_uri(self.root, "m", "t"), made.model_dump(mode="json"))

    def wait(self, outcome: str = "promoted", minutes: float = 1) -> dict[str, Any]:
        promoted = {"outcome": outcome, "version": "7", "serial": 3}
        config = AwaitConfig(name="m", target="t", minutes=minutes, poll_seconds=0.01)
        return await_deployment(self.root, promoted, self.uri, config)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("outcome", ["refused", "proposed"])
def test_nothing_is_awaited_where_nothing_was_promoted(place: Place, outcome: str) -> None:
    assert place.wait(outcome) == {"target": "t", "version": "7", "serial": 3, "state": "not promoted"}


def test_a_deployment_is_awaited_to_its_end(place: Place) -> None:
    place.says("accepted", 2, "d" * 64)
    steps = threading.Timer(0.2, lambda: (place.says("wait", 3), place.says("bake", 3), place.says("accepted", 3)))
    steps.start()
    assert place.wait()["state"] == "accepted"
    steps.join()
    assert place.wait("already")["state"] == "accepted"


def test_another_promotion_in_between_is_no_failure(place: Place) -> None:
    place.says("smoke", 4, "e" * 64)
    assert place.wait()["state"] == "superseded"


@pytest.mark.parametrize("state", ["failed", "reverted"])
def test_a_version_that_was_not_accepted_fails_the_run(place: Place, state: statuses.State) -> None:
    place.says(state, 3, reason="smoke test: other tokens")
    with pytest.raises(StageError, match="version 7 was not accepted by target t: smoke test: other tokens"):
        place.wait()


def test_a_version_that_was_reverted_before_anybody_looked(place: Place) -> None:
    failure = statuses.Failure(version="7", digest=place.digest, reason="smoke test: other tokens", at="now")
    place.says("accepted", 4, "e" * 64, last_failure=failure)
    with pytest.raises(StageError, match="not accepted by target t at now: smoke test: other tokens"):
        place.wait()


def test_a_deployer_that_is_not_there_is_named_when_the_time_is_over(place: Place) -> None:
    with pytest.raises(StageError, match=r"nothing was deployed there yet.*--target t --follow` running"):
        place.wait(minutes=0.001)
