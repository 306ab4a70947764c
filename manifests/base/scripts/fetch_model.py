"""Fetch a model for serving: `fetch_model.py s3://… FOLDER`, every byte checked against the model's manifest.

KServe knows no `models:/NAME@ALIAS` and its own downloader no manifest, so the URI is resolved before
(`source_uri.py`) and fetched here.
"""

import sys
from pathlib import Path

from components.errors import InputError, ReadableError
from components.platform import store


def main(uri: str, folder: Path) -> None:
    """Raise InputError unless `folder` then holds the complete model: configuration and safetensors."""
    if not uri.startswith("s3://"):
        raise InputError(
            f"MODEL_URI={uri!r}: name the S3 URI of a registered model version (runbooks/serve-a-model.md)"
        )
    manifest = store.get_dir(uri, folder)
    names = [entry["path"] for entry in manifest["files"]]
    if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        raise InputError(f"{uri}: no config.json or no safetensors among {', '.join(sorted(names))}; not a model")
    print(
        f"{uri}: {len(names)} files, {sum(entry['size'] for entry in manifest['files'])} bytes, all as in the manifest"
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]))
    except ReadableError as error:
        sys.exit(f"fetch_model: {error}")
