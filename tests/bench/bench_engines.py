"""Which engine is done first? Seconds and CPU seconds of the same answers, start-up included, one process each.

    python tests/bench/bench_engines.py [--model REF] [--items-per-benchmark 8] [--new-tokens 64] [--full] [--json F]

`--full` lets every answer run to its last token, as a model that thinks aloud does; without it answers end where the
model ends them. CPU seconds are printed too: on a busy machine they compare better than the clock.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

ENGINES = ("transformers", "vllm")


def measure(engine_name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Load and answer in this process."""
    started, cpu = time.monotonic(), time.process_time()
    from real_questions import real_questions

    from components.engines.base import Sampling
    from components.engines.choice import load_engine
    from components.platform.models import local_model
    from components.questions.askings import askings
    from components.stages.evaluate import EvaluateConfig, make_request

    config = EvaluateConfig()
    asked = [make_request(a, config) for a in askings(real_questions(args.items_per_benchmark), config.settings)]
    engine: Any = load_engine(engine_name, local_model(args.model), args.dtype)  # type: ignore[arg-type]
    loaded, loaded_cpu = time.monotonic(), time.process_time()
    if args.full:
        engine.stop = frozenset()
    answers = dict(engine.generate(asked, Sampling(args.new_tokens)))
    ended, ended_cpu = time.monotonic(), time.process_time()
    engine.close()
    output_tokens = sum(answer.output_tokens for answer in answers.values())
    return {
        "engine": engine.version,
        "answers": len(answers),
        "prompt_tokens": sum(answer.prompt_tokens for answer in answers.values()),
        "output_tokens": output_tokens,
        "load_seconds": loaded - started,
        "generation_seconds": ended - loaded,
        "total_seconds": ended - started,
        "load_cpu_seconds": loaded_cpu - cpu,
        "generation_cpu_seconds": ended_cpu - loaded_cpu,
        "tokens_per_second": output_tokens / (ended - loaded),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="package:smollm2-135m-instruct")
    parser.add_argument("--items-per-benchmark", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--engine", choices=ENGINES, help="this one only, in this process")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.engine:
        print(json.dumps(measure(args.engine, args)))
        return
    results = {}
    for name in ENGINES:
        if find_spec(name) is None:
            print(f"{name}: not installed, left out")
            continue
        # A process each: what one engine leaves in memory must not slow the other.
        done = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--engine", name], stdout=subprocess.PIPE, text=True, check=True
        )
        results[name] = json.loads(done.stdout.splitlines()[-1])
        line = ", ".join(f"{k} {v:.1f}" if isinstance(v, float) else f"{k} {v}" for k, v in results[name].items())
        print(f"{name}: {line}", flush=True)
    if len(results) == len(ENGINES):
        ratio = results["vllm"]["total_seconds"] / results["transformers"]["total_seconds"]
        print(f"vllm takes {ratio:.2f} times the total time of transformers")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
