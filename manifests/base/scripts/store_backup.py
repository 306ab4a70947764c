"""Store a database dump: `store_backup.py FOLDER` puts it below BIOMED_R1_STORE as backups/mlflow/TIME."""

import os
import sys
import time
from pathlib import Path

from components.platform import store


def main(folder: Path) -> str:
    """Upload the folder with a manifest, read the manifest back, and return the backup's URI."""
    taken = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    uri = f"{os.environ['BIOMED_R1_STORE'].rstrip('/')}/backups/mlflow/{taken}"
    written = store.put_dir(folder, uri, stage="backup", key=taken)
    if not any(entry["size"] for entry in written["files"]) or store.read_manifest(uri) != written:
        sys.exit(f"{folder}: nothing to back up, or {uri} does not hold what was written")
    return uri


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
