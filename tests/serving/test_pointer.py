"""The pointer under crashes, lost answers and rivals: moved once or not at all, and its log whole."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from faulty_proxy import Answer, Asked, proxy, s3_error

from components.errors import ConflictError, DamagedError, InputError, NewerSchemaError, UnavailableError
from components.platform.storage import objects, s3
from components.platform.storage.champion import pointer_uri
from components.serving import audit, pointer
from components.serving.listing import at
from components.serving.pointer import Changed, Pointer, Served
from components.serving.promote import Asked as Wanted
from components.serving.promote import check_store, settle
from components.serving.rollback import rollback

ANN = Wanted("ann", "signed off", promotion="auto")
# `settle` in a process of its own; the registry stays out, and with it two seconds of imports.
SETTLE = """
import json, sys
from components.errors import ReadableError
from components.serving.pointer import Served
from components.serving.promote import Asked, settle
root, name, served, by, force = sys.argv[1:]
asked = Asked(by, "a rival", promotion="auto", force=force == "force")
try:
    print(settle(root, name, Served.model_validate_json(served), asked).outcome)
except ReadableError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def served(number: int) -> Served:
    return Served(version=str(number), uri=f"s3://b/{number}", digest=f"{number}" * 64)


def changed(by: str = "ann") -> Changed:
    return Changed(by=by, at=pointer.now(), what="promoted")


@pytest.fixture(params=["s3", "local"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.getfixturevalue("store_uri") if request.param == "s3" else tmp_path)


def moved(root: str, count: int) -> list[Pointer]:
    """A pointer that was moved so often."""
    state, etag = pointer.first(changed(), champion=served(1)), None
    for number in range(1, count + 1):
        etag = pointer.move(root, "m", etag, state)
        state = state.after(changed(), champion=served(number + 1))
    return audit.walk(root, "m")


def test_a_move_needs_the_state_it_was_decided_on(root: str) -> None:
    (one,) = moved(root, 1)
    found = pointer.read(root, "m")
    assert found is not None and found[0].body == one.body
    second = one.after(changed("bob"), champion=served(2), previous=served(1))
    etag = pointer.move(root, "m", found[1], second)
    for stale in (found[1], None):
        with pytest.raises(ConflictError, match=r"m: bob at .* promoted version 2, serial 2 meanwhile"):
            pointer.move(root, "m", stale, one.after(changed("eve"), champion=served(3)))
    assert pointer.read(root, "m") == (second, etag) and len(audit.walk(root, "m")) == 2


def test_the_next_writer_completes_a_log(root: str) -> None:
    _, two = moved(root, 2)
    objects.delete(audit.entry_uri(root, "m", 2))
    assert [state.serial for state in audit.walk(root, "m")] == [1, 2], "the pointer is its own entry"
    found = pointer.read(root, "m")
    assert found is not None
    pointer.move(root, "m", found[1], two.after(changed(), champion=served(3)))
    assert audit.entry(root, "m", 2) == two and len(audit.walk(root, "m")) == 3


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda at: objects.delete(at(2)), "000002.json: missing"),
        (lambda at: objects.put_json(at(2), {**objects.get_json(at(2)), "nonce": "x"}), "000003.json: does not follow"),
        (lambda at: objects.put_json(at(3), {**objects.get_json(at(3)), "nonce": "x"}), "000003.json: not the state"),
        (lambda at: objects.put_json(at(1), objects.get_json(at(2))), "000001.json: does not follow"),
        (lambda at: objects.put_json(at(1), [1]), "000001.json: not a pointer"),
        (lambda at: objects.put_json(at(1), {"serial": 1}), "000001.json: nonce: Field required"),
    ],
)
def test_a_log_that_was_altered_is_named(tmp_path: Path, damage: Any, says: str) -> None:
    root = str(tmp_path)
    moved(root, 3)
    damage(lambda serial: audit.entry_uri(root, "m", serial))
    with pytest.raises(DamagedError, match=says):
        audit.walk(root, "m")


def test_a_pointer_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    (state,) = moved(str(tmp_path), 1)
    uri = pointer_uri(str(tmp_path), "m")
    objects.put_json(uri, {**state.body, "schema_version": 2, "shape": "unknown"})
    with pytest.raises(NewerSchemaError, match="upgrade biomed-r1"):
        pointer.read(str(tmp_path), "m")
    with pytest.raises(InputError, match="letters, digits"):
        pointer_uri("s3://b", "../x")


def test_who_served_when(tmp_path: Path) -> None:
    root = str(tmp_path)
    start, etag = datetime(2026, 11, 1, 12, tzinfo=UTC), None
    state = pointer.first(replace_at(start), proposed=None, champion=None)
    for days, fields in ((1, {"champion": served(1)}), (2, {}), (3, {"champion": served(2), "previous": served(1)})):
        etag = pointer.move(root, "m", etag, state)
        state = state.after(replace_at(start + timedelta(days=days)), **fields)
    pointer.move(root, "m", etag, state)
    states = audit.walk(root, "m")
    for days, version, since in ((-1, None, None), (0.5, None, 1), (1.5, "1", 2), (2.5, "1", 2), (99, "2", 4)):
        champion, made = audit.served_at(states, start + timedelta(days=days))
        assert (champion.version if champion else None) == version, days
        assert (made.serial if made else None) == since, days
    late = state.after(replace_at(start), champion=served(3))
    assert late.changed.at == state.changed.at, "a clock that is behind does not turn time back"


def test_a_version_that_no_user_was_sent_to_did_not_serve(tmp_path: Path) -> None:
    """The pointer named it for an hour; its deployment failed before the switch, or after it."""
    root, start = str(tmp_path), datetime(2026, 11, 1, 12, tzinfo=UTC)
    reasons = (pointer.UNSEEN, "deployment failed after the switch")
    state, etag = pointer.first(replace_at(start), champion=served(1)), None
    for number, why in enumerate(reasons, start=2):
        etag = pointer.move(root, "m", etag, state)
        hour = start + timedelta(hours=2 * number)
        for what, when, version in (("promoted", hour, number), ("rolled back", hour + timedelta(hours=1), 1)):
            changed_ = Changed(by="d", at=replace_at(when).at, what=what, why=why)
            state = state.after(changed_, champion=served(version))
            etag = pointer.move(root, "m", etag, state) if what == "promoted" else etag
    pointer.move(root, "m", etag, state)
    for hours, version, tried, until in ((1, "1", None, "promoted"), (4.5, "1", "2", "promoted"),
                                         (6.5, "3", None, "rolled back"), (9, "1", None, None)):  # fmt: skip
        found = at(root, "m", start + timedelta(hours=hours))
        ended = found["until"] and found["until"]["what"]
        assert (found["served"]["version"], found["tried"], ended) == (version, tried, until), hours
    assert at(root, "m", start + timedelta(hours=4.5))["since"]["at"] == "2026-11-01T12:00:00Z"


def replace_at(moment: datetime) -> Changed:
    return Changed(by="ann", at=moment.strftime("%Y-%m-%dT%H:%M:%SZ"), what="promoted")


def run_settle(root: str, name: str, candidate: Served, by: str, **fault: str) -> subprocess.Popen[str]:
    arguments = [root, name, candidate.model_dump_json(), by, "no"]
    environment = {**os.environ, **fault}
    return subprocess.Popen(
        [sys.executable, "-c", SETTLE, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    )


def test_of_many_at_once_one_moves_the_pointer(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that all decided on the same state; processes do the same below."""
    shelf.stored("1")
    settle(shelf.root, shelf.name, shelf.made["1"], ANN)
    rivals = [shelf.stored(str(number), against="1") for number in range(2, 8)]
    monkeypatch.setattr("components.serving.promote.check_store", lambda root: barrier.wait())
    barrier, told = threading.Barrier(len(rivals)), []

    def run(candidate: Served) -> None:
        try:
            told.append(
                settle(shelf.root, shelf.name, candidate, replace(ANN, by=f"rival {candidate.version}")).outcome
            )
        except ConflictError as error:
            told.append(str(error))

    threads = [threading.Thread(target=run, args=(candidate,)) for candidate in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winner = audit.walk(shelf.root, shelf.name)[-1]
    assert told.count("promoted") == 1 and winner.serial == 2
    assert sum(f"{winner.changed.by} at " in text for text in told) == len(rivals) - 1, "who, when, what"


@pytest.mark.slow
def test_twenty_processes_promote_twenty_versions(shelf: Any, tmp_path: Path) -> None:
    shelf.stored("1")
    settle(shelf.root, shelf.name, shelf.made["1"], ANN)
    go = tmp_path / "go"
    fault = f"promotion decided:wait={go}"
    running = [
        run_settle(shelf.root, shelf.name, shelf.stored(str(n), against="1"), f"rival-{n}", BIOMED_R1_FAULT=fault)
        for n in range(2, 22)
    ]
    while len(list(tmp_path.glob("go.*"))) < len(running):  # all decide on the same state before any of them moves it
        assert all(process.poll() is None for process in running)
        time.sleep(0.05)
    go.touch()
    said = [process.communicate(timeout=240)[0] for process in running]
    codes = sorted(process.returncode for process in running)
    assert codes == [0, *[4] * 19], said
    states = audit.walk(shelf.root, shelf.name)
    assert len(states) == 2 and sum(f"{states[-1].changed.by} at " in text for text in said) == 19


POINTS = ("promotion decided", "rollback decided", "pointer moved", "log written")


@pytest.mark.parametrize("point", POINTS)
def test_whatever_it_broke_off_at_the_same_call_ends_well(
    shelf: Any, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, without the registry; test_models.py kills the command itself."""
    monkeypatch.setattr("components.serving.versions.project", lambda root, name: [])
    first, second = shelf.stored("1"), shelf.stored("2", against="1")

    def broken(act: Callable[[], Any]) -> Any:
        with monkeypatch.context() as planted, contextlib.suppress(RuntimeError):
            planted.setenv("BIOMED_R1_FAULT", f"{point}:raise")
            act()
        return act()

    broken(lambda: settle(shelf.root, shelf.name, first, ANN))
    broken(lambda: settle(shelf.root, shelf.name, second, ANN))
    broken(lambda: rollback(shelf.root, shelf.name, None, Wanted("bob", "it loops")))
    states = audit.walk(shelf.root, shelf.name)
    assert [(s.champion.version, s.changed.what) for s in states if s.champion] == [
        ("1", "promoted"), ("2", "promoted"), ("1", "rolled back")]  # fmt: skip
    assert audit.entry(shelf.root, shelf.name, 3) == states[-1] and [r.version for r in states[-1].rejected] == ["2"]


@pytest.fixture
def dropping(servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], None]]:
    """Puts a proxy before the store; a client that asks twice at most asks through it."""
    with proxy(servers["AWS_ENDPOINT_URL_S3"]) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        through = s3.client.__wrapped__(quick=True)
        monkeypatch.setattr(s3, "client", lambda quick=False: through)
        yield server.rules.append


@pytest.mark.parametrize("lost", ["once", "always"])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_lost_answers_move_nothing_twice(shelf: Any, dropping: Callable[[Any], None], number: int, lost: str) -> None:
    """The store makes the write and its answer is lost: of one of the four writes of two promotions."""
    first, second = shelf.stored("1"), shelf.stored("2", against="1")
    seen: list[tuple[str, bytes]] = []

    def losing(asked: Asked) -> Answer | None:
        if asked.method != "PUT" or "/serving/" not in asked.path:
            return None
        again = (asked.path, asked.body) in seen
        seen.extend([] if again else [(asked.path, asked.body)])
        picked = seen.index((asked.path, asked.body)) == number - 1
        return Answer(0, lost=True) if picked and (lost == "always" or not again) else None

    dropping(losing)
    for candidate in (first, second):
        with contextlib.suppress(UnavailableError):
            settle(shelf.root, shelf.name, candidate, ANN)
        assert settle(shelf.root, shelf.name, candidate, ANN).outcome == "already"
    states = audit.walk(shelf.root, shelf.name)
    assert [state.champion.version for state in states if state.champion] == ["1", "2"] and len(seen) == 4
    assert audit.entry(shelf.root, shelf.name, 2) == states[-1]


def two_win(told: list[str]) -> Callable[[Asked], Answer | None]:
    """A store that checks a condition and writes in two steps: of eight replacements two are told that they won."""
    lock = threading.Lock()

    def rule(asked: Asked) -> Answer | None:
        if "if-match" not in asked.headers:
            return None
        with lock:
            told.append(asked.path)
            return Answer(200, "", {"ETag": '"x"'}) if len(told) < 3 else s3_error(412, "PreconditionFailed", "no")

    return rule


def test_nothing_is_promoted_where_conditions_do_not_hold_or_the_clock_is_off(
    shelf: Any, dropping: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.serving.promote.check_store", check_store)
    candidate, rules = shelf.stored("1"), [two_win([])]
    dropping(lambda asked: rules[0](asked))
    with pytest.raises(InputError, match=r"2 of 8 writers were told that they replaced one version"):
        settle(shelf.root, shelf.name, candidate, ANN)
    late = formatdate(time.time() - 1200, usegmt=True)
    rules[0] = lambda asked: Answer(0, headers={"Date": late})
    with pytest.raises(InputError, match=r"clock is 1\d\d\d s ahead of the store's"):
        settle(shelf.root, shelf.name, candidate, ANN)
    assert pointer.read(shelf.root, shelf.name) is None
    rules[0] = lambda asked: None
    assert settle(shelf.root, shelf.name, candidate, ANN).outcome == "promoted"


def test_a_rival_that_moves_on_proves_the_lost_move(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our write was made, its answer lost, and another version promoted on top of it before we could look."""
    real, ours = objects.create_json, pointer_uri(shelf.root, shelf.name)

    def overtaken(uri: str, value: Any) -> bool:
        done = real(uri, value)
        if uri == ours:
            found = pointer.read(shelf.root, shelf.name)
            assert found is not None
            pointer.move(shelf.root, shelf.name, found[1], found[0].after(changed("bob"), champion=served(9)))
            raise UnavailableError("no answer")
        return done

    monkeypatch.setattr(objects, "create_json", overtaken)
    done = settle(shelf.root, shelf.name, shelf.stored("1"), ANN)
    assert (done.outcome, done.serial) == ("promoted", 1)
    states = audit.walk(shelf.root, shelf.name)
    assert [state.champion.version for state in states if state.champion] == ["1", "9"]
