"""One line to a chat at the end of a run, a refusal, a promotion and a rollback: a POST of `{"text": ...}`.

That is what Slack's incoming webhooks take, and what Mattermost, Rocket.Chat and Google Chat read as well. The address
is a secret: it comes from the environment (in a cluster from a Secret) and is never written anywhere. A message that
does not arrive is a warning and nothing else.
"""

from __future__ import annotations

import logging
import os
from urllib.parse import urlsplit

LOG = logging.getLogger(__name__)
WEBHOOK_VARIABLE = "BIOMED_R1_WEBHOOK_URL"
SECONDS = 5.0
_LONGEST = 3000


def tell(text: str) -> bool:
    """Send one message and return whether it was taken; without BIOMED_R1_WEBHOOK_URL nothing happens. Never raises."""
    address = os.environ.get(WEBHOOK_VARIABLE, "").strip()
    if not address:
        return False
    try:
        if urlsplit(address).scheme not in ("https", "http"):
            raise ValueError("not an http(s) address")
        import httpx

        answer = httpx.post(address, json={"text": text[:_LONGEST]}, timeout=SECONDS)
        if answer.is_success:
            return True
        problem = f"it answered {answer.status_code}"
    except Exception as error:  # whatever it is, the run's end matters more; texts of errors may hold the address
        problem = type(error).__name__
    LOG.warning(
        "%s: no message was sent (%s); set it to a working webhook or leave it empty", WEBHOOK_VARIABLE, problem
    )
    return False
