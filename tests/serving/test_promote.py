"""Promote and roll back with a real S3 and a real MLflow: what is let through, what is refused, and what is left."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from components.errors import ConflictError, DamagedError, InputError
from components.platform.models import model_digest
from components.platform.storage import objects
from components.platform.tracking import registry
from components.serving import audit, pointer
from components.serving.promote import Asked, promote
from components.serving.rollback import rollback

ANN = Asked("ann", "signed off", promotion="auto")
PIPELINE = Asked("run", run="r1")


def state(shelf: Any) -> pointer.Pointer:
    found = pointer.read(shelf.root, shelf.name)
    assert found is not None
    return found[0]


def test_the_first_champion_and_the_next(shelf: Any) -> None:
    one, two = shelf.register(), shelf.register(against="1")
    assert promote(shelf.root, shelf.name, "1", ANN).outcome == "promoted"
    assert promote(shelf.root, shelf.name, "1", ANN).outcome == "already"
    done = promote(shelf.root, shelf.name, "2", ANN)
    assert (done.outcome, done.serial, done.warnings) == ("promoted", 2, ())
    now = state(shelf)
    assert (now.champion, now.previous) == (two, one)
    assert registry.aliases(shelf.name) == {"champion": "2"}
    assert registry.source_uri(shelf.name, alias="champion") == two.uri
    assert model_digest(f"registry:{shelf.name}@champion") == two.digest
    assert [entry.changed.by for entry in audit.walk(shelf.root, shelf.name)] == ["ann", "ann"]


def test_the_pointer_is_read_before_the_alias(shelf: Any) -> None:
    one, two = shelf.register(), shelf.register(against="1")
    assert registry.absent(f"registry:{shelf.name}@champion")
    registry.set_alias(shelf.name, "champion", "2")
    assert registry.source_uri(shelf.name, alias="champion") == two.uri, "no pointer yet: the alias counts"
    promote(shelf.root, shelf.name, "1", Asked("ann", "by hand", force=True))
    assert state(shelf).previous == two, "the alias's version was the champion until then"
    registry.set_alias(shelf.name, "champion", "2")
    assert registry.source_uri(shelf.name, alias="champion") == one.uri
    assert promote(shelf.root, shelf.name, "1", ANN).outcome == "already"
    assert registry.aliases(shelf.name) == {"champion": "1"}, "repaired by whoever comes next"


def test_what_the_gate_refused_and_a_stale_baseline(shelf: Any) -> None:
    for against, decision in (("", "promote"), ("1", "promote"), ("1", "promote"), ("2", "refuse")):
        shelf.register(against, decision)
    promote(shelf.root, shelf.name, "1", ANN)
    promote(shelf.root, shelf.name, "2", ANN)
    stale = promote(shelf.root, shelf.name, "3", ANN)
    assert (stale.outcome, stale.reasons) == (
        "refused", ("decided against version 1, champion is 2: evaluate again",))  # fmt: skip
    refused = promote(shelf.root, shelf.name, "4", ANN)
    assert refused.reasons == ("the gate refused it: not shown to be better",)
    assert state(shelf).serial == 2
    with pytest.raises(InputError, match="--reason"):
        Asked("ann", force=True)
    assert promote(shelf.root, shelf.name, "4", Asked("ann", "the demo", force=True)).outcome == "promoted"
    assert state(shelf).changed.why == "the demo"


def test_no_decision_and_a_decision_about_others(shelf: Any) -> None:
    one = shelf.register()
    client = registry._client()
    client.delete_model_version_tag(shelf.name, "1", "gate.decision_uri")
    assert promote(shelf.root, shelf.name, "1", ANN).reasons[0].startswith("no decision of the gate is on record")
    two = shelf.register(against="1")
    client.set_model_version_tag(shelf.name, "1", "gate.decision_uri", two.decision)
    assert "about other weights" in promote(shelf.root, shelf.name, "1", ANN).reasons[0]
    client.set_model_version_tag(shelf.name, "1", "gate.decision_uri", one.decision)
    decision = objects.get_json(one.decision)
    objects.put_json(one.decision, {**decision, "decision": "refuse"})
    with pytest.raises(DamagedError, match="not the one that was kept"):
        promote(shelf.root, shelf.name, "1", ANN)
    objects.delete(one.decision)
    with pytest.raises(DamagedError, match="not there any more"):
        promote(shelf.root, shelf.name, "1", ANN)
    assert pointer.read(shelf.root, shelf.name) is None


def test_a_decision_that_nobody_counted_is_refused(shelf: Any) -> None:
    """`compare` without a ledger takes the look it is told; such a decision is no ground for a promotion."""
    shelf.register(counted=False)
    (reason,) = promote(shelf.root, shelf.name, "1", ANN).reasons
    assert "is not in the ledger" in reason and f"--ledger {shelf.root}" in reason


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda uri: objects.delete(f"{uri}/model.safetensors"), "model.safetensors is missing"),
        (lambda uri: objects.put_json(f"{uri}/model.safetensors", 1), "model.safetensors has 1 bytes of "),
        (lambda uri: objects.put_json(f"{uri}/config.json", "of its size"), "config.json differs from its sha256"),
        (lambda uri: objects.delete(f"{uri}/manifest.json"), "its files are gone"),
    ],
)
def test_files_that_are_gone_or_altered(shelf: Any, damage: Any, says: str) -> None:
    damage(shelf.register().uri)
    for asked in (ANN, Asked("ann", "never for damage", force=True)):
        with pytest.raises(DamagedError, match=says):
            promote(shelf.root, shelf.name, "1", asked)
    assert pointer.read(shelf.root, shelf.name) is None


def test_a_proposal_its_sign_off_and_a_soak(shelf: Any) -> None:
    for against in ("", "1", "1"):
        shelf.register(against)
    assert promote(shelf.root, shelf.name, "1", PIPELINE).outcome == "proposed"
    assert "--approve" in promote(shelf.root, shelf.name, "1", PIPELINE).reasons[0]
    assert (state(shelf).serial, state(shelf).champion) == (1, None), "proposed once"
    with pytest.raises(ConflictError, match="version 1 is proposed, not 2"):
        promote(shelf.root, shelf.name, "2", Asked("bob", "fine", approve=True))
    assert promote(shelf.root, shelf.name, None, Asked("bob", "fine", approve=True)).outcome == "promoted"
    assert state(shelf).proposed is None and state(shelf).champion == shelf.made["1"]
    with pytest.raises(InputError, match="no version is proposed"):
        promote(shelf.root, shelf.name, None, ANN)
    soaking = Asked("run", promotion="auto", soak=timedelta(hours=1))
    assert promote(shelf.root, shelf.name, "2", soaking).outcome == "proposed"
    assert "until" in promote(shelf.root, shelf.name, "2", soaking).reasons[0]
    assert state(shelf).serial == 3
    over = Asked("run", promotion="auto", soak=timedelta(seconds=-1))
    assert promote(shelf.root, shelf.name, "3", over).outcome == "proposed"
    assert promote(shelf.root, shelf.name, "3", over).outcome == "promoted", "the time is over"


def test_a_dry_run_changes_nothing(shelf: Any) -> None:
    shelf.register()
    before = objects.list_files(shelf.root)
    assert promote(shelf.root, shelf.name, "1", Asked("ann", promotion="auto", dry_run=True)).outcome == "promoted"
    assert objects.list_files(shelf.root) == before and registry.aliases(shelf.name) == {}


def test_rollback_rejects_what_it_leaves_and_asks_before_a_second(shelf: Any) -> None:
    for against in ("", "1", "2"):
        shelf.register(against)
        promote(shelf.root, shelf.name, str(len(shelf.made)), ANN)
    done = rollback(shelf.root, shelf.name, None, Asked("bob", "it loops"))
    assert (done.outcome, done.version, registry.aliases(shelf.name)) == ("rolled back", "2", {"champion": "2"})
    again = rollback(shelf.root, shelf.name, None, Asked("bob", "it loops"))
    assert again.outcome == "already" and "these served before: 3, 1" in again.reasons[0]
    assert "rejected at" in promote(shelf.root, shelf.name, "3", ANN).reasons[0]
    same = shelf.register("2", weights=f"weights of {shelf.name} 3")
    assert "as version 3" in promote(shelf.root, shelf.name, same.version, ANN).reasons[0], "the same weights again"
    assert rollback(shelf.root, shelf.name, "3", Asked("bob")).outcome == "refused"
    assert rollback(shelf.root, shelf.name, "1", Asked("bob")).version == "1"
    assert [entry.version for entry in state(shelf).rejected] == ["3", "2"]
    assert promote(shelf.root, shelf.name, "3", Asked("ann", "was not it", force=True)).outcome == "promoted"
    assert [entry.version for entry in state(shelf).rejected] == ["2"]


def test_rollback_without_anywhere_to_go(shelf: Any) -> None:
    with pytest.raises(InputError, match="no version serves"):
        rollback(shelf.root, shelf.name, None, Asked("bob"))
    shelf.register()
    promote(shelf.root, shelf.name, "1", ANN)
    with pytest.raises(InputError, match="no previous version to go back to; --to VERSION names one"):
        rollback(shelf.root, shelf.name, None, Asked("bob"))
    with pytest.raises(InputError, match="version 7: not registered"):
        rollback(shelf.root, shelf.name, "7", Asked("bob"))
    two = shelf.register("1")
    promote(shelf.root, shelf.name, "2", ANN)
    with pytest.raises(ConflictError, match="after serial 1 was deployed"):
        rollback(shelf.root, shelf.name, None, Asked("deployer"), serial=1)
    objects.delete(f"{shelf.made['1'].uri}/model.safetensors")
    with pytest.raises(DamagedError, match="is missing"):
        rollback(shelf.root, shelf.name, None, Asked("bob"))
    assert state(shelf).champion == two


def test_a_registry_that_does_not_answer(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for against in ("", "1"):
        shelf.register(against)
        promote(shelf.root, shelf.name, str(len(shelf.made)), ANN)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    registry._client.cache_clear()
    try:
        done = rollback(shelf.root, shelf.name, None, Asked("bob"))
        assert done.outcome == "rolled back" and "does not say version 1 yet" in done.warnings[0]
        assert registry.source_uri(shelf.name, alias="champion") == shelf.made["1"].uri
    finally:
        registry._client.cache_clear()
