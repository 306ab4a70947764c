"""Nothing that is not ours is deleted: one module deletes, and only what carries a mark that this program wrote."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_proxy import proxy, s3_error

import components
import pipelines
from components.errors import InputError
from components.platform import execution
from components.platform.checks.object_store import check_store
from components.platform.environment import quiet_environment
from components.platform.folders import deletion, outputs
from components.platform.folders.marks import MARK
from components.platform.machine import home
from components.platform.storage import journal, objects, store
from components.platform.storage.claims import claim_checkpoints

DELETES = {"rmtree", "unlink", "remove", "removedirs", "rmdir", "delete_object", "delete_objects"}
# Methods of sets and lists, and of Docker's containers, are called so too; a file's is `os.remove`.
HARMLESS = {"remove"}


def deletes(source: str) -> list[tuple[int, str]]:
    """Lines that name a function which deletes files or objects."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in DELETES:
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if node.attr not in HARMLESS or owner in ("os", "shutil"):
                found.append((node.lineno, node.attr))
        elif isinstance(node, ast.ImportFrom) and node.module in ("os", "shutil"):
            found += [(node.lineno, alias.name) for alias in node.names if alias.name in DELETES]
        elif isinstance(node, ast.Constant) and node.value in ("delete_object", "delete_objects"):
            found.append((node.lineno, str(node.value)))
    return found


def test_one_module_deletes() -> None:
    roots = [Path(package.__path__[0]) for package in (components, pipelines)]
    files = [path for root in roots for path in root.rglob("*.py")]
    found = {path: lines for path in files if (lines := deletes(path.read_text(encoding="utf-8")))}
    assert [path.name for path in found] == ["deletion.py"], found


@pytest.mark.parametrize(
    "source",
    [
        "import shutil\nshutil.rmtree(x)",
        "from shutil import rmtree as gone",
        "path.unlink()",
        "os.remove(path)",
        "client.delete_object(Bucket=b)",
        "getattr(client, 'delete_objects')(Bucket=b)",
    ],
)
def test_the_check_sees_a_delete(source: str) -> None:
    assert deletes(source)


@pytest.mark.parametrize("value", ["", " ", "\t\n"])
def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("BIOMED_R1_HOME", "BIOMED_R1_GPUS", "AWS_PROFILE", "MLFLOW_EXPERIMENT_NAME")
    for name in names:
        monkeypatch.setenv(name, value)
    assert home() == tmp_path / ".biomed-r1"
    quiet_environment()
    assert not set(names) & set(os.environ)


def test_a_home_in_the_user_s_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As a `.env` file has it, where no shell replaces the tilde."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BIOMED_R1_HOME", "~/runs")
    assert home() == tmp_path / "runs"


@pytest.fixture
def own_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder whose owner has big files in a `scratch` and a `models` of his own."""
    monkeypatch.setenv("BIOMED_R1_HOME", str(tmp_path))
    for name in ("scratch/genomes/a.fa", "scratch/notes.txt", "models/llama.partial-1/w.bin", "data/x.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    return tmp_path / "scratch"


def worker(folder: Path) -> subprocess.Popen[str]:
    """A process that works in a workspace below `folder` until it is killed; it has begun."""
    text = (
        "import sys, pathlib; from components.platform.folders.deletion import workspace\n"
        "with workspace(pathlib.Path(sys.argv[1]), 'sft-') as work:\n"
        "    (work / 'half').write_text('x'); print(work, flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", text, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process


@pytest.fixture
def workers(own_scratch: Path) -> Iterator[list[tuple[subprocess.Popen[str], Path]]]:
    started = [worker(own_scratch) for _ in range(2)]
    found = []
    for process in started:
        assert process.stdout is not None
        found.append((process, Path(process.stdout.readline().strip())))
    yield found
    for process in started:
        process.kill()
        process.communicate()


def test_of_a_home_only_the_workspaces_of_killed_processes_are_cleared(
    own_scratch: Path, workers: list[tuple[subprocess.Popen[str], Path]]
) -> None:
    (living, kept), (killed, left) = workers
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    (own_scratch / "link").symlink_to(kept.parent)
    execution.clear_scratch()
    assert not left.parent.exists()
    assert (kept / "half").read_text() == "x" and living.poll() is None
    for name in ("scratch/genomes/a.fa", "scratch/notes.txt", "models/llama.partial-1/w.bin", "data/x.csv"):
        assert (own_scratch.parent / name).read_text() == "mine", name
    living.communicate()  # its input ends: it ends well and takes its workspace with it
    assert not kept.parent.exists()


def test_a_model_in_the_scratch_folder_is_no_workspace(own_scratch: Path, tmp_path: Path) -> None:
    out = own_scratch / "model"
    with outputs.claimed(out) as found, deletion.workspace(found, ".made-") as made:
        (made / "config.json").write_text("{}")
        outputs.replace_contents(found, made)
    execution.clear_scratch()
    assert sorted(path.name for path in out.iterdir()) == [MARK, "config.json"]


def test_a_folder_outside_a_workspace_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-5").mkdir()
    with pytest.raises(ValueError, match="not in a workspace"):
        deletion.remove_folder(tmp_path / "checkpoint-5")
    assert (tmp_path / "checkpoint-5").is_dir()


def test_a_result_replaces_its_own_files_and_keeps_the_others(tmp_path: Path) -> None:
    def write(*names: str) -> None:
        with outputs.claimed(tmp_path / "out") as found, deletion.workspace(found, ".made-") as made:
            for name in names:
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                (made / name).write_text("new")
            outputs.replace_contents(found, made)

    write("config.json", "shards/1.safetensors", "old.json")
    (tmp_path / "out/notes.txt").write_text("mine")
    (tmp_path / "out/shards/mine.txt").write_text("mine")
    write("config.json", "model.safetensors")
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*"))
    assert found == [MARK, "config.json", "model.safetensors", "notes.txt", "shards", "shards/mine.txt"]


@pytest.mark.parametrize("made", ["file", "notes", "deep", "read-only", "loop"])
def test_a_foreign_output_is_refused_in_words(tmp_path: Path, made: str) -> None:
    out = tmp_path / "out"
    if made == "file":
        out.write_text("x")
    elif made == "loop":
        out.symlink_to(out)
    else:
        (out / "a/b").mkdir(parents=True)
    if made in ("notes", "deep"):
        (out / ("notes.txt" if made == "notes" else "a/b/notes.txt")).write_text("mine")
    if made == "read-only":
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(out)], capture_output=True)
        if mounted.returncode:
            pytest.skip("mounting is not permitted here")
    try:
        with pytest.raises(InputError, match=r"--out .*/out: (holds files that biomed-r1 did not|cannot be written)"):
            outputs.check(out)
    finally:
        if made == "read-only":
            subprocess.run(["umount", str(out)], check=True)


@pytest.mark.parametrize("made", ["nothing", "empty", "empty folders", "new disk"])
def test_an_empty_output_is_taken_and_left_as_it_was(tmp_path: Path, made: str) -> None:
    out = tmp_path / "out"
    if made != "nothing":
        (out / {"empty": "", "empty folders": "a/b", "new disk": "lost+found"}[made]).mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with outputs.claimed(out) as found:
        assert (found / MARK).is_file()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture(params=["s3", "local"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.getfixturevalue("store_uri") if request.param == "s3" else str(tmp_path / "store")


def plain_trainers(uri: str, tmp_path: Path) -> list[str]:
    """What transformers' own trainer leaves below `uri`."""
    file = tmp_path / "weights"
    file.write_text("mine")
    names = ["checkpoint-500/model.safetensors", "checkpoint-500/manifest.json", "runs/events"]
    for name in names:
        objects.put_file(file, f"{uri}/{name}")
    objects.put_json(f"{uri}/checkpoint-500/manifest.json", {"files": ["of another program"]})
    return sorted(names)


def test_a_prefix_that_we_did_not_write_is_not_deleted(uri: str, tmp_path: Path) -> None:
    names = plain_trainers(uri, tmp_path)
    store.delete_prefix(f"{uri}/checkpoint-500")
    store.delete_prefix(uri)
    journal.forget(uri)
    assert store.list_files(uri) == names


@pytest.mark.parametrize("mark", [{"written_by": "biomed-r1"}, {"written_by": "biomed-r1", "files": "a"}, [1], "x"])
def test_a_mark_without_a_list_of_files_is_none(uri: str, mark: object) -> None:
    objects.put_json(f"{uri}/{MARK}", mark)
    objects.put_json(f"{uri}/mine.json", 1)
    store.delete_prefix(uri)
    assert store.list_files(uri) == ["mine.json"]
    with pytest.raises(InputError, match="none of them biomed-r1's"):
        claim_checkpoints(uri)


def test_of_a_half_upload_what_was_uploaded_is_deleted(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "model.safetensors").write_text("ours")
    monkeypatch.setenv("BIOMED_R1_FAULT", "manifest:raise")
    with pytest.raises(RuntimeError, match="planted"):
        store.put_dir(folder, f"{uri}/checkpoint-5", stage="sft", key="k")
    objects.put_file(folder / "model.safetensors", f"{uri}/checkpoint-5/mine")
    store.delete_prefix(f"{uri}/checkpoint-5")
    assert store.list_files(uri) == ["checkpoint-5/mine"]
    assert store.own_files(f"{uri}/checkpoint-5") is None


def test_a_place_for_checkpoints(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim_checkpoints(f"{uri}/new/")
    claim_checkpoints(f"{uri}/new")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/w").write_text("ours")
    store.put_dir(tmp_path / "folder", f"{uri}/older/checkpoint-2", stage="sft", key="k")
    claim_checkpoints(f"{uri}/older")  # of a version that left no mark
    plain_trainers(f"{uri}/foreign", tmp_path)
    with pytest.raises(InputError, match="checkpoint-500: not written by biomed-r1"):
        claim_checkpoints(f"{uri}/foreign")
    plain_trainers(f"{uri}/new", tmp_path)
    with pytest.raises(InputError, match="checkpoint-500: not written by biomed-r1"):
        claim_checkpoints(f"{uri}/new")
    objects.put_file(tmp_path / "folder/w", f"{uri}/notes/w")
    with pytest.raises(InputError, match="none of them biomed-r1's"):
        claim_checkpoints(f"{uri}/notes")


def test_checkpoints_may_lie_in_the_folder_of_the_model(tmp_path: Path) -> None:
    """`--out run --checkpoints run/checkpoints`; a folder without our mark is somebody's as before."""
    claim_checkpoints(str(tmp_path / "run/checkpoints"))
    with outputs.claimed(tmp_path / "run") as out, deletion.workspace(out, ".made-") as made:
        (made / "config.json").write_text("{}")
        outputs.replace_contents(out, made)
    claim_checkpoints(str(tmp_path / "run/checkpoints"))
    assert (tmp_path / "run/checkpoints" / MARK).is_file()
    (tmp_path / "other/checkpoints").mkdir(parents=True)
    (tmp_path / "other/checkpoints/notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"did not write \(checkpoints\)"):
        outputs.check(tmp_path / "other")


def test_what_the_store_s_own_check_could_not_delete_is_nobody_s(store_uri: str) -> None:
    """Keys without s3:DeleteObject are common: the check before a training leaves its objects where it will write."""
    uri = f"{store_uri}/checkpoints"
    refusing = lambda asked: s3_error(403, "AccessDenied", "no") if asked.method == "DELETE" else None  # noqa: E731
    with proxy(os.environ["AWS_ENDPOINT_URL_S3"], refusing) as server, pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ENDPOINT_URL_S3", server.url)
        assert [found.level for found in check_store(uri) if found.level != "ok"] == ["warning"]
        assert store.list_children(uri) == ["doctor"]
        claim_checkpoints(uri)
    objects.put_json(f"{store_uri}/other/doctor/notes.json", 1)
    with pytest.raises(InputError, match="none of them biomed-r1's"):
        claim_checkpoints(f"{store_uri}/other")
