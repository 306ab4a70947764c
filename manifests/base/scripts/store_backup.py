"""Store a database dump: `store_backup.py FOLDER` puts it below backups/ in the bucket of BIOMED_R1_STORE."""

import os
import sys
import time
from pathlib import Path

from components.platform.storage import store


def backup_uri(store_uri: str, taken: str) -> str:
    """Below backups/ whatever the store's prefix, since the lifecycle rule that expires backups knows no other; the
    prefix follows, so that two stores in one bucket do not mix theirs."""
    bucket, *prefix = store_uri.removeprefix("s3://").strip("/").split("/")
    return "/".join(["s3:/", bucket, "backups", *prefix, "mlflow", taken])


def main(folder: Path) -> str:
    """Upload the folder with a manifest, read the manifest back, and return the backup's URI."""
    taken = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    uri = backup_uri(os.environ["BIOMED_R1_STORE"], taken)
    written = store.put_dir(folder, uri, stage="backup", key=taken)
    if not any(entry["size"] for entry in written["files"]) or store.read_manifest(uri) != written:
        sys.exit(f"{folder}: nothing to back up, or {uri} does not hold what was written")
    return uri


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
