"""`make faults`: every fault against every command, on a real S3 and MLflow behind proxies; writes docs/faults.md.

Each cell starts the command's own process. What a fault ends is started again without it: then it must end well.
`python tests/faults/matrix.py WORD ...` tries only rows whose names hold one of these, and renews those of the page.
"""

from __future__ import annotations

import logging
import os
import resource
import shutil
import sys
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support"), str(ROOT / "tests/faults")]

from bench import bench  # noqa: E402
from cells import cell  # noqa: E402
from page import COLUMNS, GOOD, PAGE, cells_of, page  # noqa: E402
from rows import ROWS  # noqa: E402

WORKERS = 2


def main(words: Sequence[str], write: bool = True, columns: Sequence[str] = COLUMNS) -> int:
    """Try the rows, all or those that hold one of these words; 1 where a cell is none of GOOD."""
    rows = [row for row in ROWS if not words or any(word.lower() in row.name.lower() for word in words)]
    folder = Path("/tmp") / f"faults-{uuid.uuid4().hex[:8]}"
    (folder / "logs").mkdir(parents=True)
    os.environ["BIOMED_R1_LOGS"] = str(folder / "logs")
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    began = time.monotonic()
    try:
        with bench(folder, prepare=set(columns) != {"doctor"}) as made, ThreadPoolExecutor(WORKERS) as pool:
            print(f"set up in {time.monotonic() - began:.0f} s", flush=True)
            pairs = [(row, column) for row in rows for column in columns]
            cells = list(pool.map(lambda pair: cell(made, *pair), pairs))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    bad = [c for c in cells if c.verdict not in GOOD]
    for c in bad:
        print(f"\n{c.row}, {c.column}: {c.verdict}\n{c.said}")
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(one.ru_utime + one.ru_stime for one in used)
    took = f"{time.monotonic() - began:.0f} s, {seconds:.0f} s of them on a core"
    print(f"{len(cells)} cells in {took}; {len(bad)} bad")
    if write:
        before = cells_of(PAGE.read_text(encoding="utf-8")) if words and PAGE.is_file() else []
        tried = {(c.row, c.column) for c in cells}
        PAGE.write_text(page([*(c for c in before if (c.row, c.column) not in tried), *cells]), encoding="utf-8")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
