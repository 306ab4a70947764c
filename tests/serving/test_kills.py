"""SIGKILL after every single write of promote, rollback and a deployment: the same command again ends well."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from killable import Killable
from memory_target import Place

from components.platform.storage import objects, store
from components.platform.storage.champion import pointer_uri
from components.platform.tracking import registry
from components.serving import audit, pointer
from components.serving.deploy import smoke, status
from components.serving.pointer import Changed, Pointer, Served

pytestmark = pytest.mark.slow
KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def killable(servers: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killable]:
    with Killable(tmp_path_factory.mktemp("killable")) as made:
        yield made


def moved(root: str, name: str, champion: Served, previous: Served | None = None) -> Pointer:
    """The pointer of `name` after a promotion of `champion`."""
    changed, found = Changed(by="ops", at=pointer.now(), what="promoted"), pointer.read(root, name)
    state = found[0].after(changed, champion=champion, previous=previous) if found else None
    state = state or pointer.first(changed, champion=champion)
    pointer.move(root, name, found[1] if found else None, state)
    return state


@pytest.mark.parametrize(
    "words", [("promote", "2", "--reason", "better"), ("rollback", "--reason", "it loops")], ids=lambda words: words[0]
)
def test_a_command_that_moves_the_pointer(shelf: Any, killable: Killable, words: tuple[str, ...]) -> None:
    for against in ("", "1"):
        shelf.register(against)
    moved(shelf.root, shelf.name, shelf.made["1"])
    registry.set_alias(shelf.name, "champion", "1")
    aim, last, was = "2", 2, "1"
    if words[0] == "rollback":
        moved(shelf.root, shelf.name, shelf.made["2"], shelf.made["1"])
        aim, last, was = "1", 3, "2"
        registry.set_alias(shelf.name, "champion", was)
    before = objects.get_json(pointer_uri(shelf.root, shelf.name))
    job = {"words": [*words, "--name", shelf.name]}
    for number in range(1, 99):
        code = killable.run(job, kill_after=number)
        assert code in (KILLED, 0), killable.said.read_text()
        assert killable.run(job) == 0, killable.said.read_text()
        states = audit.walk(shelf.root, shelf.name)
        assert states[-1].serial == last and states[-1].champion == shelf.made[aim]
        assert audit.entry(shelf.root, shelf.name, last) == states[-1]
        assert registry.aliases(shelf.name) == {"champion": aim}
        if code == 0:
            break
        # As before, for the next write.
        objects.delete(audit.entry_uri(shelf.root, shelf.name, last))
        objects.put_json(pointer_uri(shelf.root, shelf.name), before)
        registry.set_alias(shelf.name, "champion", was)
    assert number == 4, "pointer, log entry, alias, and once without a kill"


class StoredPlace(Place):
    """Versions in the suite's store."""

    def __init__(self, root: str, folder: Path) -> None:
        super().__init__(folder)
        self.folder, self.root = folder, root

    def version(self, number: int) -> Served:
        uri = f"{self.root}/models/{number}"
        manifest = store.read_manifest(uri)
        if manifest is None:
            made = self.folder / str(number)
            made.mkdir()
            (made / "config.json").write_text(f'{{"number": {number}}}')
            manifest = store.put_dir(made, uri, stage="grpo", key=str(number))
            question = {"messages": [{"role": "user", "content": "?"}], "options": {"A": "a"}, "tokens": [number]}
            objects.put_json(smoke.smoke_uri(uri), {"schema_version": 1, "questions": [question] * 3})
        return Served(version=str(number), uri=uri, digest=store.manifest_digest(manifest))


@pytest.mark.parametrize(
    ("fault", "strategy", "writes"),
    [
        ("", "surge", 10),  # eight steps, the new colour, the switch
        ("", "replace", 12),  # and the old colour stopped, with its step
        ("wrong", "surge", 10),
        ("wrong", "replace", 14),
        ("trouble", "surge", 14),
    ],
)
def test_a_deployment(
    store_uri: str, tmp_path: Path, killable: Killable, fault: str, strategy: str, writes: int
) -> None:
    place = StoredPlace(store_uri, tmp_path)
    one, two = place.version(1), place.version(2)
    for number in range(1, 99):
        name = f"kill-{number}"
        target = f"{store_uri}/place-{number}.json"
        held = {"colours": {"blue": one.uri, "green": ""}, "now": "blue", "seen": [one.uri]}
        objects.put_json(target, held)
        moved(store_uri, name, one)
        begun = status.Status(target="memory", serial=1, what=one, colour="blue", since="")
        status.write(store_uri, name, begun.to("accepted"), None)
        moved(store_uri, name, two, one)
        job = {"root": store_uri, "name": name, "target": target, "faults": {two.uri: fault}, "strategy": strategy}
        code = killable.run(job, kill_after=number)
        assert code in (KILLED, int(bool(fault))), killable.said.read_text()
        codes = [killable.run(job) for _ in range(2)]
        # What failed is told by the command that finishes it; once that is written, the next one finds all well.
        assert codes[0] in (0, int(bool(fault))) and codes[1] == 0, killable.said.read_text()
        aim = one if fault else two
        place_now = objects.get_json(target)
        assert place_now["colours"][place_now["now"]] == aim.uri
        seen = [uri for uri in place_now["seen"] if uri]
        expected = {"": [one.uri, two.uri], "wrong": [one.uri], "trouble": [one.uri, two.uri, one.uri]}[fault]
        assert [uri for n, uri in enumerate(seen) if n == 0 or uri != seen[n - 1]] == expected
        states = audit.walk(store_uri, name)
        assert states[-1].champion == aim and len(states) == (3 if fault else 2)
        assert audit.entry(store_uri, name, len(states)) == states[-1]
        assert [entry.digest for entry in states[-1].rejected] == ([two.digest] if fault else [])
        found, _ = status.read(store_uri, name, "memory")
        assert found is not None and found.state == "accepted"
        if code != KILLED:
            break
    assert number - 1 == writes, killable.said.read_text()
