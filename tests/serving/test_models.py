"""The commands `models`, `promote` and `rollback` with a real S3 and a real MLflow: what they say and how they exit."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from components.errors import ConflictError, DamagedError, InputError, ReadableError, RefusedError
from components.platform.storage import objects
from components.platform.tracking import registry
from components.serving import audit
from pipelines.cli.models import models_command, promote_command, rollback_command

COMMANDS = {"models": models_command, "promote": promote_command, "rollback": rollback_command}


def said(shelf: Any, verb: str, *words: str) -> Result:
    before = ["--name", shelf.name] if verb == "models" else []
    after = [] if verb == "models" else ["--name", shelf.name]
    return CliRunner().invoke(COMMANDS[verb], [*before, *words, *after])


def present() -> str:
    """This moment in another time zone than UTC."""
    return datetime.now(timezone(timedelta(hours=1))).isoformat()


def code(result: Result) -> int:
    """The exit code that `biomed-r1` ends with."""
    return result.exception.exit_code if isinstance(result.exception, ReadableError) else result.exit_code


def test_a_version_from_registration_to_rollback(shelf: Any, tmp_path: Path) -> None:
    for against in ("", "1", "1"):
        shelf.register(against)
    assert "no pointer yet" in said(shelf, "models").output
    no_reason = said(shelf, "promote", "1")
    assert code(no_reason) == 2 and "--reason" in str(no_reason.exception)
    assert "--dry-run" in said(shelf, "promote", "1", "--dry-run").output
    for version in ("1", "2"):
        assert code(said(shelf, "promote", version, "--reason", "better")) == 0
    assert "already" in said(shelf, "promote", "2", "--reason", "better").output
    stale = said(shelf, "promote", "3", "--reason", "better")
    assert isinstance(stale.exception, RefusedError) and code(stale) == 3
    assert "decided against version 1, champion is 2: evaluate again" in str(stale.exception)
    soaked = said(shelf, "promote", "3", "--reason", "once more", "--soak", "24h", "--force")
    assert code(soaked) == 0 and "promoted" in soaked.output, "--force does not wait"
    assert code(said(shelf, "rollback", "--reason", "it loops")) == 0
    again = said(shelf, "rollback", "--to", "3", "--reason", "it does not")
    assert code(again) == 3 and "--force" in str(again.exception)
    listed = said(shelf, "models", "--json", str(tmp_path / "models.json"))
    rows = {row["version"]: row for row in json.loads((tmp_path / "models.json").read_text())["versions"]}
    assert rows["2"]["roles"] == ["champion"] and rows["2"]["aliases"] == ["champion"]
    assert rows["3"]["rejected"].endswith("it loops") and rows["1"]["scores"] == {"plain.all": 0.5}
    assert "rolled back to version 2 (it loops), serial 4" in listed.output and "log: 4 entries" in listed.output
    shown = said(shelf, "models", "show", "3", "--verify").output
    assert "made by grpo at " in shown and "gate: passed: " in shown and "rolled back by " in shown


def test_which_version_served_when(shelf: Any) -> None:
    shelf.register()
    said(shelf, "promote", "1", "--reason", "the first")
    assert "no version served at 2026-01-01T00:00:00+00:00" in said(shelf, "models", "at", "2026-01-01").output
    now = said(shelf, "models", "at", present()).output
    assert f"{shelf.name}: version 1 served at 2" in now and ": the first) and serves still" in now
    for words, says in (("yesterday", "write 2026-"), ("2100-01-01", "has not come yet")):
        wrong = said(shelf, "models", "at", words)
        assert isinstance(wrong.exception, InputError) and says in str(wrong.exception)


def test_an_alias_that_points_elsewhere_is_set_right_and_damage_is_told(shelf: Any) -> None:
    for against in ("", "1"):
        shelf.register(against)
        said(shelf, "promote", str(len(shelf.made)), "--reason", "better")
    registry.set_alias(shelf.name, "champion", "1")
    objects.delete(audit.entry_uri(shelf.root, shelf.name, 2))
    healed = said(shelf, "models").output
    assert "repaired: MLflow's alias champion said version 1 and now says 2" in healed
    assert "repaired: the log's last entry was missing" in healed
    assert "repaired" not in said(shelf, "models").output
    objects.put_json(f"{shelf.made['1'].uri}/config.json", "of its size")
    objects.delete(f"{shelf.made['2'].uri}/manifest.json")
    assert "version 1: " not in str(said(shelf, "models").exception)
    told = said(shelf, "models", "--verify")
    assert isinstance(told.exception, DamagedError) and "DAMAGED" in told.output
    assert "version 1: " in str(told.exception) and "version 2: " in str(told.exception)
    objects.delete(audit.entry_uri(shelf.root, shelf.name, 1))
    assert "000001.json: missing" in str(said(shelf, "models").exception)
    assert code(said(shelf, "models", "at", present())) == 2


def test_the_pointer_is_told_without_a_registry(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.register()
    said(shelf, "promote", "1", "--reason", "the first")
    registry._client.cache_clear()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    try:
        told = said(shelf, "models")
        assert "promoted version 1 (the first), serial 1" in told.output and code(told) == 1
        assert "check the address and that the server runs" in str(told.exception)
        assert code(said(shelf, "models", "at", present())) == 0
        assert code(said(shelf, "promote", "1", "--reason", "again")) == 1
    finally:
        registry._client.cache_clear()


def test_bad_words(shelf: Any) -> None:
    shelf.register()
    for words in (("promote", "1", "--soak", "soon", "--reason", "x"), ("promote", "9", "--reason", "x"),
                  ("promote", "--reason", "x"), ("models", "show", "9"), ("rollback",)):  # fmt: skip
        assert code(said(shelf, *words)) == 2, words
    approved = said(shelf, "promote", "1", "--approve", "--reason", "x")
    assert isinstance(approved.exception, ConflictError) and code(approved) == 4
    assert "no version is proposed" in str(approved.exception)
