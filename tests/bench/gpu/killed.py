"""kill -9 in the middle of a training on the GPU, and what the next one does: where it resumes, how far it ends from
the unbroken one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import device, options, save
from tiny import write_model

from components.platform.tables import write_rows

STEPS, EVERY = (200, 20) if "--cpu" not in sys.argv else (8, 2)


def main() -> None:
    args = options(__doc__ or "")
    folder = Path(tempfile.mkdtemp())
    write_model(folder / "model", device(args.cpu))
    write_rows([trace(number) for number in range(64)], folder / "sft.parquet")
    whole = finished(start(folder, "whole", args.cpu), folder, "whole")
    found: dict[str, Any] = {"steps": STEPS, "unbroken_seconds": whole["seconds"]}
    started = time.perf_counter()
    process = start(folder, "broken", args.cpu)
    while not any((folder / "checkpoints-broken").glob("*/checkpoint-*/manifest.json")):
        if process.poll() is not None or time.perf_counter() - started > 200:
            raise RuntimeError("no checkpoint was seen before the training ended")
        time.sleep(0.02)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    found["exit_of_the_killed"] = process.wait()
    again = finished(start(folder, "broken", args.cpu), folder, "broken")
    found |= {
        "resumed_from_step": again["evidence"]["resumed_from_step"],
        "equal_bits": again["evidence"]["weights_sha256"] == whole["evidence"]["weights_sha256"],
        "largest_difference": difference(folder / "whole", folder / "broken"),
    }
    print(found, flush=True)
    save(args.json, {"killed": found})


def trace(number: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Question {number}: which metal?\nA. Zinc\nB. Iron"}]
    return {"prompt": json.dumps(messages), "opening": "", "completion": f"Reason {number}.\nThe answer is B."}


def start(folder: Path, name: str, cpu: bool) -> subprocess.Popen[bytes]:
    values = {"max_steps": STEPS, "save_steps": EVERY, "global_batch": 8, "learning_rate": 1e-3, "max_length": 256}
    values |= {"bf16": not cpu, "device": "cpu" if cpu else "auto"}
    code = (
        "import json, sys; from components.stages.sft import SftConfig, sft; "
        f"e = sft({str(folder / 'sft.parquet')!r}, {str(folder / 'model')!r}, SftConfig(**{values!r}), "
        f"{str(folder / f'checkpoints-{name}')!r}, {str(folder / name)!r}); "
        f"e.pop('history'); open({str(folder / f'{name}.json')!r}, 'w').write(json.dumps(e))"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)


def finished(process: subprocess.Popen[bytes], folder: Path, name: str) -> dict[str, Any]:
    started = time.perf_counter()
    if process.wait(240):
        raise RuntimeError(f"{name}: exit {process.returncode}")
    evidence = json.loads((folder / f"{name}.json").read_text())
    return {"evidence": evidence, "seconds": round(time.perf_counter() - started, 1)}


def difference(one: Path, other: Path) -> float:
    from safetensors.torch import load_file

    first, second = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    return max(float((first[name] - second[name]).abs().max()) for name in first)


if __name__ == "__main__":
    main()
