"""Whether a stored model is what its manifest says: every byte before a promotion, its files and sizes in a hurry."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from components.errors import DamagedError
from components.platform.storage import objects, s3, store

_NAMED = 5


def verified(uri: str, digest: str = "", every_byte: bool = True) -> dict[str, Any]:
    """The manifest of a stored model whose files are all there and as it says.

    `digest` is the manifest digest that is expected, "" for any. Without `every_byte` only the sizes are compared.
    Raises DamagedError naming the files that are missing or differ.
    """
    manifest = store.read_manifest(uri)
    if manifest is None:
        raise DamagedError(f"{uri}: no {store.MANIFEST}: the model is not there any more; train or stage it again")
    if digest and (found := store.manifest_digest(manifest)) != digest:
        raise DamagedError(f"{uri}: its manifest is {found[:12]}, but {digest[:12]} was promoted; it was overwritten")
    sizes = {file.path: file.size for file in objects.describe_files(uri)}
    problems = [text for entry in manifest["files"] if (text := _listed(entry, sizes))]
    if every_byte and not problems:
        with ThreadPoolExecutor(s3.PARALLEL_FILES) as pool:
            problems = [text for text in pool.map(lambda entry: _read(uri, entry), manifest["files"]) if text]
    if problems:
        more = f" and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        raise DamagedError(f"{uri}: {'; '.join(problems[:_NAMED])}{more}; the model is damaged, store it again")
    return manifest


def _listed(entry: Mapping[str, Any], sizes: Mapping[str, int]) -> str:
    found = sizes.get(entry["path"])
    if found is None:
        return f"{entry['path']} is missing"
    return "" if found == entry["size"] else f"{entry['path']} has {found} bytes of {entry['size']}"


def _read(uri: str, entry: Mapping[str, Any]) -> str:
    found = objects.digest(f"{uri}/{entry['path']}")
    if found is None:
        return f"{entry['path']} is missing"
    return "" if found == (entry["size"], entry["sha256"]) else f"{entry['path']} differs from its sha256"
