"""A large disk with little of it free: SeaweedFS's own rule of 1 % would take no write there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
CONFIGURED = ("BIOMED_R1_STORE", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL")


@pytest.fixture
def disk() -> Iterator[Path]:
    """1.2 TB with 9.5 GB free, in a file of 20 MB."""
    folder = Path(tempfile.mkdtemp(prefix="disk-"))
    image, mounted = folder / "image", folder / "mounted"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(1200 << 30)
    made = (
        shutil.which("mkfs.ext4")
        and not subprocess.run(
            ["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", image]
        ).returncode
    )
    if not made or subprocess.run(["mount", "-o", "loop", image, mounted], capture_output=True).returncode:
        shutil.rmtree(folder)
        pytest.skip("a file cannot be mounted as a disk here")
    with (mounted / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(mounted).free - int(9.5e9))
    yield mounted
    subprocess.run(["umount", mounted], check=True)
    shutil.rmtree(folder)


def test_uploads_work_there(disk: Path) -> None:
    usage = shutil.disk_usage(disk)
    assert usage.free < usage.total / 100
    environment = {k: v for k, v in os.environ.items() if k not in CONFIGURED and not k.startswith("AWS_")}
    environment |= {"BIOMED_R1_HOME": str(disk / "home"), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    text = (
        "from pipelines.local import servers\nfrom components.platform.storage import objects\n"
        "servers.up()\nobjects.put_json('s3://biomed-r1/store/a.json', list(range(100000)))\n"
        "assert len(objects.get_json('s3://biomed-r1/store/a.json')) == 100000\n"
        "assert servers.down() == ['s3']\n"
    )
    done = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
