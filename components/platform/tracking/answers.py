"""What MLflow's client says when it fails, for a person; and asking it quickly, where silence is an answer.

`MlflowClient` itself is asked and never an address of its server: it alone knows of bearer tokens, private
authorities, `MLFLOW_TRACKING_INSECURE_TLS` and the other settings that a run will use.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

# For a check: one attempt, seconds for an answer (with basic-auth a busy server hashes a password for a second or
# more at each request). The client's own are 7 attempts and 120 s.
QUICK = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
# For a file that a run can do without.
UPLOAD = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}
_LONGEST = 300
# (what the error says, what to do), the first that is found.
_HINTS = (
    ("Invalid Host header", "start MLflow with --allowed-hosts naming the host of MLFLOW_TRACKING_URI"),
    ("CERTIFICATE_VERIFY_FAILED", "name your authority's file in MLFLOW_TRACKING_SERVER_CERT_PATH"),
    ("SSLError", "check that the address is https and its certificate is for this host"),
    ("error code 401", "set MLFLOW_TRACKING_USERNAME and _PASSWORD, or MLFLOW_TRACKING_TOKEN, to valid ones"),
    ("error code 403", "this user may not; ask MLflow's administrator for the EDIT permission"),
    ("error code 404", "check the path in MLFLOW_TRACKING_URI: this is no MLflow's API"),
    ("timed out", "check the address, that the server runs, and that a firewall or network policy lets through"),
    ("Max retries exceeded", "check the address and that the server runs"),
    ("too many 5", "the server answers with errors: see its log"),
)


@contextmanager
def quickly(limits: Mapping[str, str] = QUICK) -> Iterator[None]:
    """MLflow's client gives up after seconds inside, or as `limits` say, unless the user has set otherwise."""
    added = {name: value for name, value in limits.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def explained(error: Exception) -> str:
    """The server's own reason in one line, and what to do where that is known."""
    text = " ".join(str(error).split())
    # The client quotes the whole body; the reason is what a person looks for.
    reason = re.sub(r"^API request to (endpoint )?\S+ failed with (exception )?", "", text)
    hint = next((hint for sign, hint in _HINTS if sign in text), "")
    short = reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}…"
    return f"{short}; {hint}" if hint else short
