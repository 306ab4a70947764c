"""Embedded servers: those of two runs never meet, each is known by its token, and stays up while a run uses it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from moved_clock import MovedClock

from pipelines.local.ports import free_ports
from pipelines.local.server_process import VARIABLE
from pipelines.local.servers import REPLACED

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
CONFIGURED = ("BIOMED_R1_STORE", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL")
COMMAND = [sys.executable, "-m", "pipelines.cli"]
# A run's own use of the servers, for as long as its input is open.
USER = (
    "import sys; from pipelines.local import servers\nwith servers.in_use():\n print(1, flush=True); sys.stdin.read()"
)

# A run that started the servers (it saw none before) and is interrupted.
STARTER = """
from components.platform import logs
from pipelines.local import run, servers
logs.configure()
seen, now = [[]], servers.running
servers.running = lambda: seen.pop() if seen else now()
with run._servers_of_this_run(): raise KeyboardInterrupt
"""


@pytest.fixture(scope="module")
def homes() -> Iterator[tuple[Path, Path]]:
    folders = tuple(Path(tempfile.mkdtemp(prefix="known-")) for _ in range(2))
    yield folders
    for folder in folders:
        subprocess.run([*COMMAND, "down", "--force"], env=variables(folder), capture_output=True, timeout=600)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def own_home(homes: tuple[Path, Path]) -> Path:
    return homes[0]


def variables(home: Path, **changed: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if k not in CONFIGURED and not k.startswith("AWS_")}
    return {**clean, "BIOMED_R1_HOME": str(home), **changed}


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> MovedClock:
    """Two hours before the time at which the servers were started."""
    try:
        found = MovedClock(tmp_path_factory.mktemp("clock"))
    except RuntimeError as error:
        pytest.skip(str(error))
    found.step(-7200)
    return found


@pytest.fixture(scope="module")
def started(homes: tuple[Path, Path]) -> list[tuple[int, str, str]]:
    """Two homes' servers, started at once, the first one's beside left-over credentials: exit codes, both streams."""
    leftover = {"AWS_SESSION_TOKEN": "old", "AWS_PROFILE": "no-such", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
    dead = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9")  # loopback is not for it
    up = [
        subprocess.Popen(
            [*COMMAND, "up", "--print-env"],
            env=variables(home, **changed),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for home, changed in zip(homes, ({**leftover, **dead}, {}), strict=True)
    ]
    said = [process.communicate(timeout=600) for process in up]
    return [(process.returncode, *streams) for process, streams in zip(up, said, strict=True)]


@pytest.fixture(scope="module")
def cli(own_home: Path, started: object) -> Cli:
    """Runs a verb on servers of this module's own; `before` are words in front of the command."""

    def call(*words: str, before: tuple[str, ...] = (), **changed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*before, *COMMAND, *words],
            env=variables(own_home, **changed),
            capture_output=True,
            text=True,
            timeout=600,
        )

    return call


def test_two_that_start_at_once_get_servers_of_their_own(
    homes: tuple[Path, Path], started: list[tuple[int, str, str]]
) -> None:
    assert [code for code, _, _ in started] == [0, 0], started
    states = [json.loads((home / "servers/state.json").read_text()) for home in homes]
    for name in ("s3", "mlflow"):
        assert states[0][name]["port"] != states[1][name]["port"], name


def test_left_over_credentials_do_not_break_up_and_are_unset_in_a_shell(started: list[tuple[int, str, str]]) -> None:
    code, printed, said = started[0]
    assert code == 0, said
    assert {f"unset {name}" for name in REPLACED} <= set(printed.splitlines())


def test_a_clock_step_changes_nothing(cli: Cli, clock: MovedClock) -> None:
    """`btime`, from which a process's start time is counted, moves when the clock is set; `down` is tried below."""
    done = cli("up", before=clock.words, **clock.environment)
    assert done.returncode == 0 and "nothing, they were up" in done.stderr, done.stderr


def test_servers_out_of_reach_are_said_to_be_so(cli: Cli) -> None:
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("network namespaces are not permitted here")
    done = cli("up", before=("unshare", "-n"))
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert "in another network namespace" in done.stderr and "biomed-r1 down" in done.stderr
    # In a container of its own a process is not seen either.
    done = cli("up", before=("unshare", "-n", "-p", "-f", "--mount-proc"))
    assert done.returncode == 2 and "its process cannot be seen from here" in done.stderr, done.stderr


def test_a_run_s_servers_stay_until_it_ends_however_it_ends(cli: Cli, own_home: Path, clock: MovedClock) -> None:
    user = subprocess.Popen(
        [sys.executable, "-c", USER], env=variables(own_home), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert user.stdout is not None and user.stdout.read(1) == b"1"
    try:
        done = cli("down")
        assert done.returncode == 2 and "a run uses the embedded servers" in done.stderr
        done = subprocess.run(
            [sys.executable, "-c", STARTER], env=variables(own_home), capture_output=True, text=True, timeout=600
        )
        assert "stay up: another run uses them" in done.stderr and "KeyboardInterrupt" in done.stderr, done.stderr
        assert "nothing, they were up" in cli("up").stderr
    finally:
        user.send_signal(signal.SIGKILL)
        user.communicate()
    done = cli("down", before=clock.words, **clock.environment)
    assert done.stdout.split() == ["stopped:", "mlflow,", "s3"], done.stderr
    assert "none was running" in cli("down").stdout


def test_another_server_on_our_port_is_not_taken_for_ours(cli: Cli, own_home: Path) -> None:
    """The state names a process and a port that both live, and are somebody else's."""
    path = own_home / "servers/state.json"
    state = json.loads(path.read_text())
    stranger = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(free_ports(20100, 1)[0]), "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={k: v for k, v in os.environ.items() if k != VARIABLE},
    )
    try:
        for name in ("s3", "mlflow"):
            state[name] |= {"pid": stranger.pid, "port": 20100, "filer": 20100}
        path.write_text(json.dumps(state))
        assert "none was running" in cli("down").stdout
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_another_user_s_stale_socket_makes_its_port_taken(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("needs a second user")
    port = free_ports(20200, 1, spread=True)[0]
    path = Path(f"/tmp/seaweedfs-filer-grpc-{port + 10000}.sock")
    path.touch()
    os.chown(path, 65533, 65533)
    try:
        text = "import os; from pipelines.local.ports import free_ports\nos.setuid(65534)\n"
        text += f"print(free_ports({port}, 1, True))"
        found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
        assert found.stdout.strip() not in ("", f"[{port}]"), found.stderr
    finally:
        path.unlink()
