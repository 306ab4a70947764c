"""`make bench-gpu`: what one GPU can tell of trainings on eight, in at most eight minutes; one JSON out.

Each part is a process with a time limit of its own, so that one that fails loses no other's figures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# part: seconds it may take; together less than eight minutes.
PARTS = {"speed": 120, "saving": 65, "grpo": 60, "logprobs": 30, "memory": 80, "killed": 110}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/bench-gpu.json"))
    parser.add_argument("--cpu", action="store_true", help="tiny shapes on the CPU, to see that it runs")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between them")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "machine": machine(args.cpu), "parts": {}}
    for part in args.only.split(","):
        file = args.out.with_name(f"{args.out.stem}-{part}.json")
        file.unlink(missing_ok=True)
        report["parts"][part] = run(part, file, PARTS[part] * (4 if args.cpu else 1), args.cpu)
        args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


def run(part: str, file: Path, limit: int, cpu: bool) -> dict[str, Any]:
    """The part's figures, those before its time was over included, and how it ended."""
    command = [sys.executable, str(HERE / f"{part}.py"), "--json", str(file), *(["--cpu"] if cpu else [])]
    paths = [str(HERE.parents[2]), str(HERE), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    settings = {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRL_EXPERIMENTAL_SILENCE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTORCH_ALLOC_CONF": "expandable_segments:True",
    }
    started = time.perf_counter()
    print(f"== {part} (at most {limit} s)", flush=True)
    try:
        done = subprocess.run(command, timeout=limit, env={**os.environ, **settings}, capture_output=True, text=True)
        ended, said = f"exit {done.returncode}", done.stdout[-1500:] + done.stderr[-1500:]
    except subprocess.TimeoutExpired as error:
        ended, said = f"stopped after {limit} s", str(error.stdout)[-1500:]
    found = json.loads(file.read_text()) if file.is_file() else {}
    file.unlink(missing_ok=True)
    seconds = round(time.perf_counter() - started, 1)
    print(f"   {ended}, {seconds} s", flush=True)
    return {"ended": ended, "seconds": seconds, **found, **({} if ended == "exit 0" else {"said": said})}


def machine(cpu: bool) -> dict[str, Any]:
    import torch
    import transformers
    import trl

    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "trl": trl.__version__}
    if cpu or not torch.cuda.is_available():
        return {"card": "none", **versions}
    properties = torch.cuda.get_device_properties(0)
    return {"card": properties.name, "gib": round(properties.total_memory / 2**30, 1), **versions}


if __name__ == "__main__":
    main()
