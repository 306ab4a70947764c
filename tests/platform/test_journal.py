"""Records survive the process that made them; what is damaged or another work's is left out, with a message."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.platform.storage import journal as module
from components.platform.storage import store
from components.platform.storage.journal import Journal, forget

KEY = "0123456789abcdef" * 4
RECORDS = {"item q1 (plain)": {"text": "Gicht – \u2028 ja\n", "n": 1}, "item q2 (plain)": {"text": "", "n": 2}}


def written(uri: str, records: dict[str, object] = RECORDS, key: str = KEY) -> Journal:
    kept = Journal(uri, key)
    for name, value in records.items():
        kept.add(name, value)
    kept.close()
    return kept


def part(folder: Path) -> Path:
    [path] = folder.rglob("*.jsonl")
    return path


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    written(str(tmp_path))
    assert Journal(str(tmp_path), KEY).read() == RECORDS
    assert Journal(str(tmp_path / "none"), KEY).read() == {}


def test_it_goes_on_after_a_close(tmp_path: Path) -> None:
    kept = written(str(tmp_path))
    kept.add("more", 3)
    kept.close()
    assert kept.read() == {**RECORDS, "more": 3}


def test_two_writers_and_two_runs_do_not_disturb_each_other(tmp_path: Path) -> None:
    first, second = Journal(str(tmp_path), KEY), Journal(str(tmp_path), KEY)
    first.add("a", 1)
    second.add("b", 2)
    second.add("a", 3)  # made twice: the first one counts, whoever reads
    first.add("c", 4)
    first.close()
    second.close()
    assert Journal(str(tmp_path), KEY).read() == {"a": 1, "b": 2, "c": 4}


def test_a_killed_process_has_kept_every_record(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from components.platform.storage.journal import Journal\n"
        "kept = Journal(*sys.argv[1:])\n"
        "for n in range(5): kept.add(str(n), n)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), KEY], env={**os.environ}, check=False)
    assert done.returncode == -9
    assert Journal(str(tmp_path), KEY).read() == {str(n): n for n in range(5)}


def test_a_torn_last_line_costs_its_record_only(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    written(str(tmp_path))
    path = part(tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    assert list(Journal(str(tmp_path), KEY).read()) == ["item q1 (plain)"]
    assert "1 of 3 lines are torn or damaged" in capfd.readouterr().err


@pytest.mark.parametrize("place", [0.0, 0.02, 0.4, 0.6, 0.9])
def test_a_damaged_byte_is_never_taken_for_a_record(
    place: float, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    written(str(tmp_path))
    data = bytearray(part(tmp_path).read_bytes())
    data[int(place * len(data))] ^= 0x81
    part(tmp_path).write_bytes(bytes(data))
    read = Journal(str(tmp_path), KEY).read()
    assert read != RECORDS and read.items() <= RECORDS.items()
    assert "journal:" in capfd.readouterr().err


def test_another_works_part_is_ignored(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    other = KEY[:40] + "f" * 24  # its folder is the same, its key is not
    written(str(tmp_path), key=other)
    assert Journal(str(tmp_path), KEY).read() == {}
    assert "not a journal of this work" in capfd.readouterr().err
    assert Journal(str(tmp_path), other).read() == RECORDS


def test_in_the_store_parts_come_every_few_seconds(
    store_uri: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = Journal(store_uri, KEY)
    for name, value in RECORDS.items():
        kept.add(name, value)
    assert Journal(store_uri, KEY).read() == {}
    monkeypatch.setattr(module, "PART_SECONDS", 0.0)
    kept.add("item q3 (plain)", 3)
    kept.add("item q4 (plain)", 4)
    assert Journal(store_uri, KEY).read() == {**RECORDS, "item q3 (plain)": 3, "item q4 (plain)": 4}
    parts = store.list_children(kept.uri)
    assert len(parts) == 2
    store.put_json(f"{kept.uri}/{parts[0]}", {"not": "a part"})
    assert list(Journal(store_uri, KEY).read()) == ["item q4 (plain)"]
    assert "ignored" in capfd.readouterr().err
    forget(kept.uri)
    assert Journal(store_uri, KEY).read() == {}
