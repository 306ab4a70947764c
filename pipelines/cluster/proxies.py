"""Which proxy lies before an address, by the variables that other programs read (HTTPS_PROXY, NO_PROXY)."""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit, urlunsplit

from components.errors import InputError

# What `--proxy` sets.
VARIABLE = "BIOMED_R1_KFP_PROXY"
# A company's proxy knows nothing of a cluster's own names.
_IN_CLUSTER = (".svc", ".svc.cluster.local")


def proxy_of(address: str) -> tuple[str, dict[str, str]]:
    """The proxy for an address ("" for none), without its password, and the headers that carry that.

    Raises InputError for a proxy that is no http(s) address; its text is not repeated, for it may hold a password.
    """
    from requests.utils import get_environ_proxies, select_proxy
    from urllib3 import make_headers

    host = urlsplit(address).hostname or ""
    given = os.environ.get(VARIABLE, "")
    if not given and not host.endswith(_IN_CLUSTER):
        given = select_proxy(address, get_environ_proxies(address)) or ""
    if not given:
        return "", {}
    try:
        parts = urlsplit(given if "//" in given else f"http://{given}")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts, port = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError("the proxy (--proxy, HTTPS_PROXY or HTTP_PROXY) is not an address; write http://HOST:PORT")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
    return urlunsplit((parts.scheme, name + port, "", "", "")), make_headers(proxy_basic_auth=user) if user else {}
