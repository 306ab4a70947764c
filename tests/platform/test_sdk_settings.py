"""Region, profile and endpoint as the AWS SDK has them, on the real S3 server; containers get the same."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from components.errors import InputError
from components.platform.environment import LOOPBACK, quiet_environment
from components.platform.storage import s3
from pipelines.local import docker_runner


@pytest.fixture
def profile(servers: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite's server as a profile of ~/.aws, and nothing of it in the environment."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(
        "[profile lab]\nregion = eu-central-1\nendpoint_url = " + servers["AWS_ENDPOINT_URL_S3"] + "\n"
    )
    keys = (servers["AWS_ACCESS_KEY_ID"], servers["AWS_SECRET_ACCESS_KEY"])
    (tmp_path / "credentials").write_text("[lab]\naws_access_key_id = {}\naws_secret_access_key = {}\n".format(*keys))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_a_profile_s_region_endpoint_and_keys_are_used(profile: None) -> None:
    client = s3.sdk_client()
    assert client.meta.region_name == "eu-central-1"
    client.put_object(Bucket="biomed-r1", Key="profile", Body=b"x")
    assert client.get_object(Bucket="biomed-r1", Key="profile")["Body"].read() == b"x"


@pytest.mark.parametrize(
    ("changed", "region"),
    [
        ({"AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-3"),
        ({"AWS_DEFAULT_REGION": "eu-west-3", "AWS_REGION": "us-west-2"}, "us-west-2"),
    ],
)
def test_a_region_s_variables(
    profile: None, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], region: str
) -> None:
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    assert s3.sdk_client().meta.region_name == region


def test_a_profile_that_is_not_there_is_said_plainly(profile: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such")
    with pytest.raises(InputError, match=r"no-such.*check AWS_PROFILE"):
        s3.sdk_client()


def test_a_container_gets_what_a_process_has(profile: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("x")
    given = {
        "HTTPS_PROXY": "http://proxy.company:3128",
        "no_proxy": ".company",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "MLFLOW_TRACKING_TOKEN": "t",
        "MLFLOW_TRACKING_SERVER_CERT_PATH": str(authority),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    arguments = docker_runner.container_arguments(tmp_path, "run-1")
    environment = arguments["environment"]
    assert given.items() <= environment.items()
    assert environment["AWS_REGION"] == "eu-central-1" and environment["AWS_ACCESS_KEY_ID"]
    assert not {"AWS_PROFILE", "AWS_CONFIG_FILE"} & set(environment)
    mounts = {mount["Target"]: mount["ReadOnly"] for mount in arguments["mounts"]}
    assert mounts[str(authority)] is True


@pytest.mark.parametrize("before", ["", ".company,10.0.0.0/8"])
def test_loopback_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    from requests.utils import should_bypass_proxies

    monkeypatch.setenv("NO_PROXY", before)
    monkeypatch.setenv("no_proxy", "")
    quiet_environment()
    assert all(should_bypass_proxies(f"http://{host}:8333/", None) for host in LOOPBACK[:2])
    assert before in os.environ["NO_PROXY"]
    assert not should_bypass_proxies("http://store.example", None)
