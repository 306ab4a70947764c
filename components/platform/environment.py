"""Environment variables of every process of ours: telemetry off, libraries offline (design D12), how to log."""

from __future__ import annotations

import os

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


def quiet_environment() -> None:
    """Set the variables for this process and every child, keeping what the user has set."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
