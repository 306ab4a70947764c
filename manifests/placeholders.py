"""Refuse a rendered overlay in which something is left to set.

    kubectl kustomize manifests/overlays/prod | python manifests/placeholders.py

Exit 2 when an image has no digest, or a placeholder is left: an example's host, a digest or an account of zeros.
Addresses for documentation (RFC 5737) open nothing and may stay where nothing private has to be reached; they are
named, no more.
"""

import re
import sys
from collections.abc import Iterator
from typing import Any

import yaml

PLACEHOLDERS = {
    re.compile(r"\b[\w.-]*\bexample\.(com|org|net)\b"): "an example's host",
    re.compile(r"sha256:0{64}"): "a digest of zeros",
    re.compile(r":0{12}:"): "an account of zeros",
    re.compile(r"@PROJECT\b"): "no project's name",
}
DOCUMENTATION = re.compile(r"^(192\.0\.2|198\.51\.100|203\.0\.113)\.\d+/\d+$")


def texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """(path, text) of every text in nested mappings and lists."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from texts(inner, f"{path}[{number}]")
    elif isinstance(value, str):
        yield path, value


def problems(objects: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """(what has to be set, what may stay) of rendered objects, each with its place."""
    refused, noted = [], []
    for item in objects:
        for place, text in texts(item, f"{item['kind']}/{item['metadata']['name']}"):
            refused += [f"{place}: {text}: {what}" for pattern, what in PLACEHOLDERS.items() if pattern.search(text)]
            if place.endswith((".image", "-image")) and "@sha256:" not in text:
                refused.append(f"{place}: {text}: an image without a digest")
            if DOCUMENTATION.match(text):
                noted.append(f"{place}: {text}: opens nothing; set it where that address is private")
    return refused, noted


if __name__ == "__main__":
    refused, noted = problems([item for item in yaml.safe_load_all(sys.stdin) if item])
    print("\n".join([*noted, *refused]))
    if refused:
        print(f"placeholders: {len(refused)} to set before this is applied", file=sys.stderr)
        sys.exit(2)
