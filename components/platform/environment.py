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

    Raises InputError for an MLflow address whose password cannot be told from the rest of it.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
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
