"""The state machine of a deployment: every failure before and after the switch, and a kill after every step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from memory_target import NAME, MemoryTarget, Place, place

from components.errors import ConflictError, InputError, StageError, UnavailableError
from components.platform.storage import objects, store
from components.serving import audit
from components.serving import pointer as pointers
from components.serving.deploy import champion, smoke
from components.serving.deploy import status as statuses
from components.serving.deploy.machine import raise_for
from components.serving.deploy.status import Status

__all__ = ["place"]


def served(target: MemoryTarget) -> str:
    assert target.now is not None
    return target.colours[target.now]


def steps(status: Status) -> list[str]:
    return [note.state for note in status.history]


def test_a_first_and_a_second_version_take_the_same_steps(place: Place) -> None:
    with pytest.raises(InputError, match="no version was promoted yet"):
        place.deployment().run()
    one = place.promote(1)
    status = place.deployment().run()
    assert steps(status) == ["verify", "apply", "wait", "smoke", "switch", "bake", "drain", "accepted"]
    two = place.promote(2)
    status = place.deployment(keep_warm=600).run()
    assert (status.state, status.before and status.before.version) == ("accepted", "1")
    assert place.target.seen == ["", one.uri, two.uri]
    assert sorted(place.target.colours.values()) == [one.uri, two.uri]  # the old one stays warm
    assert place.deployment().run() == status and not place.deployment().cool()
    # Back to the first while it is warm: nothing is started.
    place.target.calls.clear()
    place.promote(1)
    status = place.deployment().run()
    assert status.warm and status.state == "accepted" and served(place.target) == one.uri
    assert place.target.calls == [f"apply {status.colour}", f"switch {status.colour}"]
    assert place.deployment().cool() and sorted(place.target.colours.values()) == ["", one.uri]
    raise_for(status)


@pytest.mark.parametrize("fault", ["wrong", "crash"])
def test_a_bad_version_is_seen_by_nobody_and_rejected(place: Place, fault: str) -> None:
    one = place.promote(1)
    place.deployment().run()
    two = place.promote(2)
    place.target.faults[two.uri] = fault
    status = place.deployment().run()
    assert (status.state, status.fault) == ("failed", "model")
    assert place.target.seen == ["", one.uri] and two.uri not in place.target.colours.values()
    pointer = place.pointer()
    assert pointer.champion == one and [entry.digest for entry in pointer.rejected] == [two.digest]
    assert "deployment failed before the switch" in pointer.changed.why and len(audit.walk(place.root, NAME)) == 3
    with pytest.raises(StageError, match=r"version 2 was not accepted.*users saw nothing of it"):
        raise_for(status)
    # The next look finds everything as the pointer says, and remembers.
    place.target.calls.clear()
    again = place.deployment().run()
    assert again.state == "accepted" and again.what == one and place.target.calls == []
    failure = statuses.Failure(version="2", digest=two.digest, reason=status.reason, at=status.since)
    assert again.last_failure == failure
    assert statuses.read(place.root, NAME, "memory")[0] == again


@pytest.mark.parametrize(("fault", "said"), [("image", "ImagePullBackOff"), ("never", "not ready after 0 s: loading")])
def test_a_place_that_fails_leaves_the_pointer_and_the_same_command_tries_again(
    place: Place, fault: str, said: str
) -> None:
    one = place.promote(1)
    place.deployment().run()
    two = place.promote(2)
    place.target.faults[two.uri] = fault
    status = place.deployment().run()
    assert (status.state, status.fault) == ("failed", "place") and said in status.reason
    assert place.pointer().champion == two and not place.pointer().rejected and served(place.target) == one.uri
    place.target.faults.clear()
    status = place.deployment().run()
    assert status.state == "accepted" and served(place.target) == two.uri
    assert status.before == statuses.Held(colour="blue", uri=one.uri, digest=one.digest, version="1")


def test_trouble_after_the_switch_sends_users_and_the_pointer_back(place: Place) -> None:
    one = place.promote(1)
    place.deployment().run()
    two = place.promote(2)
    place.target.faults[two.uri] = "trouble"
    status = place.deployment(bake=5).run()
    assert (status.state, place.target.seen) == ("reverted", ["", one.uri, two.uri, one.uri])
    assert place.pointer().champion == one and place.pointer().rejected[0].digest == two.digest
    assert "deployment failed after the switch" in place.pointer().changed.why
    with pytest.raises(StageError, match=r"5 of its last 9 answers were errors.*users were sent back"):
        raise_for(status)


def test_no_room_for_two_replaces_and_goes_back_when_the_new_one_fails(place: Place) -> None:
    one = place.promote(1)
    place.deployment().run()
    two = place.promote(2)
    place.target.faults[two.uri] = "no room"
    status = place.deployment().run()
    assert (status.state, status.strategy) == ("accepted", "replace")
    assert "stop" in steps(status) and place.target.seen == ["", one.uri, "", two.uri]
    three = place.promote(3)
    place.target.faults[three.uri] = "wrong"
    status = place.deployment(strategy="replace").run()
    assert status.state == "failed" and steps(status)[-3:] == ["discard", "restore", "failed"]
    assert served(place.target) == two.uri and place.pointer().champion == two
    # surge is not allowed to stop the old one
    four = place.promote(4)
    place.target.faults[four.uri] = "no room"
    status = place.deployment(strategy="surge").run()
    assert "Insufficient nvidia.com/gpu" in status.reason and served(place.target) == two.uri


@pytest.mark.parametrize(("fault", "said"), [("crash", "does not start either"), ("never", "is not ready after 0 s")])
def test_an_old_version_that_does_not_come_back_is_said(place: Place, fault: str, said: str) -> None:
    one = place.promote(1)
    place.deployment().run()
    two = place.promote(2)
    place.target.faults |= {one.uri: fault, two.uri: "wrong"}
    status = place.deployment(strategy="replace").run()
    assert status.state == "failed" and f"the version before {said}" in status.reason
    assert "the first 8 tokens are others" in status.reason, "and why the new one failed"


def test_a_server_that_is_not_reached_yet_is_asked_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[str] = ["away", "away", "right"]

    def check(*_: object, **__: object) -> list[str]:
        if answers.pop(0) == "away":
            raise smoke.NotReachedError("nothing answers")
        return []

    monkeypatch.setattr(smoke, "check", check)
    place.promote(1)
    assert place.deployment().run().state == "accepted" and not answers
    answers.append("away")
    monkeypatch.setattr("components.serving.deploy.machine.REACHED_SECONDS", 0.0)
    place.promote(2)
    status = place.deployment().run()
    assert (status.state, status.fault, status.reason) == ("failed", "place", "nothing answers")


def test_open_requests_are_waited_for_and_not_for_ever(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.promote(1)
    place.deployment().run()
    left = [2, 1, 0]
    monkeypatch.setattr(place.target, "open", lambda colour: left.pop(0))
    place.promote(2)
    assert place.deployment(drain=60).run().history[-1].text == "" and left == []
    monkeypatch.setattr(place.target, "open", lambda colour: 3)
    place.promote(3)
    assert place.deployment(drain=0).run().history[-1].text == "3 requests were still open after 0 s"


def test_what_is_ready_and_was_never_tested_is_not_warm(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.promote(1)
    place.deployment().run()
    two = place.promote(2)
    for point in ("smoke", "verify"):  # 2 runs on the idle colour, then 3 is asked for and not applied
        monkeypatch.setenv("BIOMED_R1_FAULT", f"deploy {point}:raise")
        with pytest.raises(RuntimeError):
            place.deployment().run()
        place.promote(3)
    monkeypatch.delenv("BIOMED_R1_FAULT")
    assert two.uri in place.target.colours.values()
    place.promote(2)
    assert not place.deployment().run().warm and served(place.target) == two.uri


def test_what_was_stopped_for_a_version_that_nobody_wants_any_more_comes_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = place.promote(1)
    place.deployment().run()
    place.promote(2)
    monkeypatch.setenv("BIOMED_R1_FAULT", "deploy apply:raise")  # the first one is stopped by then
    with pytest.raises(RuntimeError):
        place.deployment(strategy="replace").run()
    monkeypatch.delenv("BIOMED_R1_FAULT")
    assert served(place.target) == ""
    place.target.faults[place.promote(3).uri] = "wrong"
    assert place.deployment(strategy="replace").run().state == "failed" and served(place.target) == one.uri


@pytest.mark.parametrize(
    ("later", "back"),
    [
        ([], True),
        ([("proposed", 2)], True),
        ([("promoted", 2)], False),  # by somebody who knows better, after it failed
        ([("promoted", 3)], False),
        ([("promoted", 3), ("proposed", 3)], False),
    ],
)
def test_the_pointer_is_given_back_only_where_the_version_still_is_the_one_that_was_deployed(
    place: Place, later: list[tuple[Any, int]], back: bool
) -> None:
    one, two = place.promote(1), place.promote(2)
    status = Status(target="memory", serial=2, what=two, colour="green", since="", reason="other tokens")
    for what, number in later:
        found = pointers.read(place.root, NAME)
        assert found is not None
        changed = pointers.Changed(by="bob", at=pointers.now(), what=what)
        rejected = (pointers.rejected(two, "once before"),)
        state = found[0].after(changed, champion=place.version(number), rejected=rejected)
        pointers.move(place.root, NAME, found[1], state)
    said = champion.give_back(place.root, NAME, status, "test")
    after = place.pointer()
    if back:
        assert said.startswith("the pointer went back to version 1; version 2 is rejected") and after.champion == one
        assert [(entry.digest, entry.why) for entry in after.rejected] == [(two.digest, "other tokens")]
    else:
        assert said.startswith("the pointer was moved meanwhile: bob") and after.serial == 2 + len(later)


def test_the_same_weights_started_otherwise_are_not_rejected(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A template that does not work is no fault of the version that serves."""
    one = place.promote(1)
    place.deployment().run()
    monkeypatch.setattr(place.target, "current", lambda *_: False)
    place.target.faults[one.uri] = "crash"
    status = place.deployment().run()
    assert (status.state, status.fault) == ("failed", "place") and place.target.seen == ["", one.uri]
    assert place.pointer().champion == one and not place.pointer().rejected


def test_damaged_files_and_a_missing_record_stop_before_anything_starts(place: Place) -> None:
    one = place.promote(1)
    place.deployment().run()
    two = place.promote(2)
    objects.delete(smoke.smoke_uri(two.uri))
    status = place.deployment().run()
    assert "no record of its answers" in status.reason and (status.fault, place.target.seen) == ("place", ["", one.uri])
    objects.delete(f"{two.uri}/manifest.json")
    status = place.deployment().run()
    assert "the model is not there any more" in status.reason and place.pointer().champion == one


def test_files_that_were_overwritten_since_the_promotion_are_not_deployed(place: Place, tmp_path: Path) -> None:
    one = place.promote(1)
    place.deployment().run()
    two = place.promote(2)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"number": 3}')
    objects.delete(f"{two.uri}/manifest.json")
    store.put_dir(tmp_path / "other", two.uri, stage="grpo", key="2")
    status = place.deployment().run()
    assert (status.state, status.fault) == ("failed", "model") and "it was overwritten" in status.reason
    assert place.target.seen == ["", one.uri] and place.pointer().champion == one


def test_a_pointer_that_was_moved_meanwhile_is_left_alone(place: Place) -> None:
    place.promote(1)
    place.deployment().run()
    two = place.promote(2)
    place.target.faults[two.uri] = "wrong"
    deployment = place.deployment()
    original = place.target.stop
    place.target.stop = lambda colour: (original(colour), place.promote(3))[0]  # type: ignore[method-assign]
    status = deployment.run()
    assert "the pointer was moved meanwhile" in status.history[-1].text
    serving = place.pointer().champion
    assert serving is not None and serving.version == "3"
    place.target.stop = original  # type: ignore[method-assign]
    assert place.deployment().run().what.version == "3"


ALL = ("verify", "apply", "wait", "smoke", "switch", "bake", "drain", "applied", "switched")
BACK = ("discard", "gave back", "failed")


@pytest.mark.parametrize("point", [*ALL, *BACK, "revert", "switched back", "reverted"])
def test_killed_after_any_step_the_same_command_has_the_same_end(
    place: Place, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = place.promote(1)
    place.deployment().run()
    two = place.promote(2)
    bad = "" if point in ALL else "wrong" if point in BACK else "trouble"
    place.target.faults[two.uri] = bad
    monkeypatch.setenv("BIOMED_R1_FAULT", f"deploy {point}:raise")
    with pytest.raises(RuntimeError, match=f"deploy {point}"):
        place.deployment(bake=5 * bool(bad)).run()
    monkeypatch.delenv("BIOMED_R1_FAULT")
    end = {"": "accepted", "wrong": "failed", "trouble": "reverted"}[bad]
    # What failed is told by the command that finishes it; once that is written, the next one finds all well.
    assert place.deployment(bake=5 * bool(bad)).run().state == ("accepted" if point == end else end)
    assert place.deployment().run().state == "accepted"
    assert served(place.target) == (one.uri if bad else two.uri)
    serving = place.pointer().champion
    assert serving is not None and serving.version == ("1" if bad else "2")
    assert [entry.version for entry in place.pointer().rejected] == (["2"] if bad else [])
    assert len(audit.walk(place.root, NAME)) == (3 if bad else 2)


@pytest.mark.parametrize("point", ["apply", "stop", "switch", "bake"])
def test_another_promotion_while_one_is_unfinished_replaces_it(
    place: Place, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.promote(1)
    place.deployment().run()
    place.promote(2)
    monkeypatch.setenv("BIOMED_R1_FAULT", f"deploy {point}:raise")
    with pytest.raises(RuntimeError):
        place.deployment(strategy="replace").run()
    monkeypatch.delenv("BIOMED_R1_FAULT")
    three = place.promote(3)
    assert place.deployment(strategy="replace").run().what == three
    assert served(place.target) == three.uri


def test_silence_of_the_store_or_a_second_deployer_ends_it_without_undoing_anything(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.promote(1)

    def silent(*_: object) -> str:
        raise UnavailableError("the API server did not answer")

    monkeypatch.setattr(place.target, "apply", silent)
    with pytest.raises(UnavailableError):
        place.deployment().run()
    monkeypatch.undo()
    found, etag = statuses.read(place.root, NAME, "memory")
    assert found is not None and found.state == "apply"
    statuses.write(place.root, NAME, found.to("wait", by="another"), etag)
    with pytest.raises(ConflictError, match=r"another deployer \(another\) wrote 'wait' meanwhile"):
        statuses.write(place.root, NAME, found.to("smoke"), etag)


def test_a_status_that_is_none_is_named(place: Place) -> None:
    place.promote(1)
    objects.put_json(statuses.status_uri(place.root, NAME, "memory"), {"hello": 1})
    with pytest.raises(InputError, match=r"memory\.json: not a deployment's status"):
        place.deployment().run()
    assert Path(statuses.status_uri(place.root, NAME, "memory")).is_file()
