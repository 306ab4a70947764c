"""Environment variables of every process of ours: telemetry off, libraries offline (design D12), how to log, and no
password in MLflow's address.
"""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit

from components.errors import InputError

# Read by components/platform/logs.py; here, because `biomed-r1 --help` names them and must not import logging.
LOG_LEVEL, LOG_FORMAT = "BIOMED_R1_LOG_LEVEL", "BIOMED_R1_LOG_FORMAT"
LOG_LEVELS, LOG_FORMATS = ("debug", "info", "warning", "error"), ("text", "json")

# An empty or blank variable with such a beginning is unset: shells, Compose files and CI systems pass on what nobody
# has set.
OURS_OR_LIBRARIES = ("BIOMED_R1_", "AWS_", "MLFLOW_", "HF_", "KFP_", "KF_", "OMP_")
# Never asked through a proxy: the embedded servers, and whatever else a person runs beside us.
LOOPBACK = ("localhost", "127.0.0.1", "::1")

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    # OpenMP threads that spin while they wait make a shared machine several times slower for everyone on it.
    "OMP_WAIT_POLICY": "PASSIVE",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


TRACKING_URIS = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")


def quiet_environment() -> None:
    """Set the variables for this process and every child, keeping what the user has set.

    An empty or blank one is not set. Raises InputError for an MLflow address whose password cannot be told from the
    rest of it.
    """
    for name in [
        name for name, value in os.environ.items() if not value.strip() and name.startswith(OURS_OR_LIBRARIES)
    ]:
        del os.environ[name]
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    # Libraries read either spelling, and the lower one first.
    known = [text.strip() for text in (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(",")]
    if "*" not in known:
        without = ",".join(dict.fromkeys([*filter(None, known), *LOOPBACK]))
        os.environ |= {"no_proxy": without, "NO_PROXY": without}
    for name in TRACKING_URIS:
        if "@" in (uri := os.environ.get(name, "")):
            os.environ |= _apart(name, uri)


def _apart(name: str, uri: str) -> dict[str, str]:
    """MLflow's variables for an address with a password in it: addresses are printed, stored and logged.

    The client would send the address's user and password, whatever the other variables say.
    """
    parts = urlsplit(uri)
    if parts.scheme.startswith("http") and "@" in parts.path + parts.query + parts.fragment:
        raise InputError(
            f"{name}: an @ behind the host's part, as of a password with / ? or # in it; set MLFLOW_TRACKING_USERNAME "
            "and MLFLOW_TRACKING_PASSWORD and leave both out of the address (in a path write %40)"
        )
    credentials, at, host = parts.netloc.rpartition("@")
    if not at:
        return {}
    user, _, password = credentials.partition(":")
    given = {"MLFLOW_TRACKING_USERNAME": unquote(user), "MLFLOW_TRACKING_PASSWORD": unquote(password)}
    return {name: parts._replace(netloc=host).geturl()} | (given if password else {})
