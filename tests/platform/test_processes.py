"""A server in the background is known again after the clock was set, and a number that is used anew is not it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from moved_clock import MovedClock

from components.platform.processes import alive, spawn, stop


def test_a_process_is_known_by_its_start_and_not_by_the_time_of_day(tmp_path: Path) -> None:
    try:
        clock = MovedClock(tmp_path / "clock")
    except RuntimeError as error:
        pytest.skip(str(error))
    server = spawn([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log", {})
    look = "import json, sys; from components.platform.processes import alive; print(alive(json.loads(sys.argv[1])))"
    try:
        for seconds in (0, -7200, 7200):
            clock.step(seconds)
            found = subprocess.run(
                [*clock.words, sys.executable, "-c", look, json.dumps(server)],
                env={**os.environ, **clock.environment},
                capture_output=True,
                text=True,
            )
            assert found.stdout.strip() == "True", (seconds, found)
        assert not alive({**server, "born": f"{server['born']}0"}), "the number of a process that has ended"
        assert not alive({**server, "pid": 2**22 + 1}) and not alive({}) and not alive(None)
    finally:
        stop(server["pid"])
    assert not alive(server)
