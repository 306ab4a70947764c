"""What an evaluation costs beside the alternatives, as ratios taken in one run on one machine.

    python tests/bench/bench_evaluate.py [--questions 256] [--model REF] [--new-tokens 64] [--quick] [--json F]

1. Tokens per second of our vLLM engine beside bare `LLM.generate` on the same loaded model: prefix cache reset before
   each, in pairs whose order alternates, median of `--rounds` pairs.
2. Wall-clock of our engine beside lm-evaluation-harness' hf backend at the best of `--batch-sizes`, loading excluded.
3. Cost of the four settings of every question beside the plain one alone.
4. The texts of vLLM and transformers: fp32 has a bar, bf16 is only printed.

Each engine gets a process of its own. Close everything else first: a ratio of two times suffers from a third program.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from real_questions import real_questions, where_from

OPENING, NEW_TOKENS = "The answer is", 6  # of the comparison of texts


def asked(args: argparse.Namespace, count: int) -> list[Any]:
    from components.questions.sampling import sample

    return sample(real_questions(), count, seed=0)


def measure_vllm(args: argparse.Namespace) -> dict[str, Any]:
    """Ours and bare `LLM.generate` on the same model in this process; then four settings and one."""
    from vllm import SamplingParams

    from components.engines.base import Sampling
    from components.engines.rendering import render
    from components.engines.vllm_engine import VllmEngine
    from components.platform.models import local_model
    from components.questions.askings import Asking
    from components.stages.evaluate import EvaluateConfig, make_request

    started = time.monotonic()
    engine = VllmEngine(local_model(args.model), args.dtype)
    load_seconds = time.monotonic() - started
    config, items = EvaluateConfig(), asked(args, args.questions)
    plain = [make_request(Asking(item, "plain"), config) for item in items]
    all_four = [make_request(Asking(item, setting), config) for item in items for setting in config.settings]
    texts = [render(engine.tokenizer, [{"role": r, "content": c} for r, c in q.messages]) for q in plain]
    # What our engine asks for, with bare vLLM's own detokenising.
    bare = SamplingParams(
        max_tokens=args.new_tokens, temperature=0.0, ignore_eos=True, stop_token_ids=sorted(engine.stop)
    )

    def ours(requests: list[Any]) -> int:
        return sum(a.output_tokens for _, a in engine.generate(requests, Sampling(args.new_tokens)))

    runs = {
        "ours": lambda: ours(plain),
        "bare": lambda: sum(len(o.outputs[0].token_ids) for o in engine._llm.generate(texts, bare, use_tqdm=False)),
        "four": lambda: ours(all_four),
    }
    ours(plain[:4])  # the first steps compile and allocate
    times: dict[str, list[float]] = {name: [] for name in runs}
    cpu: dict[str, list[float]] = {name: [] for name in runs}  # compares better than the clock on a busy machine
    tokens: dict[str, int] = {}
    # Ours and bare are neighbours in time and change places, since the machine's own speed drifts; four settings last.
    pair = ("ours", "bare")
    order = [name for turn in range(args.rounds) for name in (pair if turn % 2 == 0 else pair[::-1])]
    for name in [*order, *["four"] * args.rounds]:
        engine._llm.reset_prefix_cache()
        begun, worked = time.monotonic(), time.process_time()
        tokens[name] = runs[name]()
        times[name].append(time.monotonic() - begun)
        cpu[name].append(time.process_time() - worked)
        told = f"{times[name][-1]:.1f} s, {cpu[name][-1]:.1f} CPU seconds"
        print(f"  {name}: {tokens[name]} tokens in {told}", file=sys.stderr, flush=True)
    version = engine.version
    engine.close()
    figures = {"seconds": times, "cpu_seconds": cpu, "tokens": tokens, "n": len(plain)}
    return {"engine": version, "load_seconds": load_seconds, **figures}


def measure_lm_eval(args: argparse.Namespace) -> dict[str, Any]:
    """lm-eval on the same questions, prompt and limit, exported as its tasks: seconds per batch size, and loading."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    from components.engines.choice import has_gpu
    from components.platform.models import local_model
    from components.stages.export import ExportConfig, export_lm_eval

    folder, device = str(local_model(args.model)), "cuda" if has_gpu() else "cpu"
    found: dict[str, Any] = {"version": lm_eval.__version__, "seconds": {}, "load_seconds": {}}
    with tempfile.TemporaryDirectory() as tasks:
        items = [item.with_(is_reasoning=None) for item in asked(args, args.questions)]
        export_lm_eval(items, ExportConfig(max_new_tokens=args.new_tokens), Path(tasks))
        for size in args.batch_sizes:
            begun = time.monotonic()
            model = HFLM(pretrained=folder, dtype=args.dtype, batch_size=size, device=device)
            found["load_seconds"][size] = time.monotonic() - begun
            manager = TaskManager(include_path=tasks, include_defaults=False)
            begun = time.monotonic()
            lm_eval.simple_evaluate(
                model=model, tasks=["biomed_r1"], task_manager=manager, apply_chat_template=True, bootstrap_iters=0
            )
            found["seconds"][size] = time.monotonic() - begun
            print(f"  lm-eval, batch {size}: {found['seconds'][size]:.1f} s", file=sys.stderr, flush=True)
    return found


def write_texts(args: argparse.Namespace) -> dict[str, Any]:
    """What `--engine` writes after the opening, in the order of the questions."""
    from components.engines.base import Request, Sampling
    from components.engines.choice import load_engine
    from components.platform.models import local_model
    from components.questions.prompts import build_messages

    engine = load_engine(args.engine, local_model(args.model), args.dtype)
    requests = [
        Request(item.id, tuple((m["role"], m["content"]) for m in build_messages(item, "direct")), OPENING)
        for item in asked(args, args.parity_questions)
    ]
    answers = dict(engine.generate(requests, Sampling(NEW_TOKENS)))
    engine.close()
    return {"engine": engine.version, "texts": [answers[n].text for n in range(len(requests))]}


PARTS = {"vllm": measure_vllm, "lm-eval": measure_lm_eval, "texts": write_texts}


def in_a_process(part: str, *more: str) -> dict[str, Any]:
    """The result of one part in a fresh process: what one engine leaves in memory must not slow the next."""
    print(f"{part} {' '.join(more)}".strip(), file=sys.stderr, flush=True)
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        command = [sys.executable, __file__, *sys.argv[1:], "--part", part, "--result", result.name, *more]
        subprocess.run(command, check=True, stdout=sys.stderr)
        return dict(json.loads(Path(result.name).read_text(encoding="utf-8")))


def summary(
    vllm: dict[str, Any], lm: dict[str, Any] | None, pairs: dict[str, tuple[list[str], list[str]]]
) -> list[Any]:
    """Rows of (figure, measured, bar, met or not)."""
    seconds = {name: median(times) for name, times in vllm["seconds"].items()}
    rate = {name: vllm["tokens"][name] / seconds[name] for name in seconds}
    # The tokens are the same, so the ratio of rates is that of seconds, pair by pair.
    ratio = median(b / o for o, b in zip(vllm["seconds"]["ours"], vllm["seconds"]["bare"], strict=True))
    told = f"{ratio:.3f} ({rate['ours']:.0f} and {rate['bare']:.0f} tokens/s)"
    rows = [("tokens/s beside bare LLM.generate", told, ">= 0.95", ratio >= 0.95)]
    if lm:
        best = min(lm["seconds"], key=lm["seconds"].__getitem__)
        ratio = seconds["ours"] / lm["seconds"][best]
        told = f"{ratio:.3f} ({seconds['ours']:.1f} s and {lm['seconds'][best]:.1f} s at batch {best})"
        rows.append(("wall-clock beside lm-eval's hf backend", told, "<= 0.6", ratio <= 0.6))
        told = f"{vllm['load_seconds']:.1f} s and {lm['load_seconds'][best]:.1f} s"
        rows.append(("loading, excluded above (ours, lm-eval)", told, "", None))
    ratio = seconds["four"] / seconds["ours"]
    told = f"{ratio:.2f} ({seconds['four']:.1f} s and {seconds['ours']:.1f} s)"
    rows.append(("four settings beside the plain one", told, "<= 2.5", ratio <= 2.5))
    for dtype, (ours, theirs) in pairs.items():
        same = sum(a == b for a, b in zip(ours, theirs, strict=True))
        bar, met = (f">= {len(ours) - 1}", same >= len(ours) - 1) if dtype == "float32" else ("", None)
        rows.append((f"texts alike, vLLM and transformers, {dtype}", f"{same} of {len(ours)}", bar, met))
    return rows


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="package:smollm2-135m-instruct")
    parser.add_argument("--questions", type=int, default=256)
    parser.add_argument("--parity-questions", type=int, default=60)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--quick", action="store_true", help="does it run? 8 questions, one round, one batch size")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--part", choices=PARTS, help="this part only, in this process")
    parser.add_argument("--engine", choices=["vllm", "transformers"], default="vllm", help="of the part `texts`")
    parser.add_argument("--result", type=Path, help="where a part writes its figures")
    args = parser.parse_args()
    if args.quick:
        args.questions, args.parity_questions, args.new_tokens, args.rounds, args.batch_sizes = 8, 4, 16, 1, [8]
    return args


def main() -> None:
    from components.platform.environment import quiet_environment

    args = parse()
    quiet_environment()  # as the `biomed-r1` command does
    if args.part:
        args.result.write_text(json.dumps(PARTS[args.part](args)), encoding="utf-8")
        return
    if find_spec("vllm") is None:
        print("vllm is not installed; `make install-vllm`")
        return
    vllm = in_a_process("vllm")
    lm = in_a_process("lm-eval") if find_spec("lm_eval") else None
    pairs = {}
    for dtype in ("float32", "bfloat16"):
        texts = [in_a_process("texts", "--engine", e, "--dtype", dtype)["texts"] for e in ("vllm", "transformers")]
        pairs[dtype] = (texts[0], texts[1])
    print(f"\n{vllm['n']} {where_from()}, {args.model}, {vllm['engine']}, at most {args.new_tokens} new tokens")
    rows = summary(vllm, lm, pairs)
    for name, told, bar, met in rows:
        verdict = "" if met is None else "met" if met else "MISSED"
        print(f"  {name:<44} {told:<46} {bar:<8} {verdict}")
    if lm is None:
        print("  lm_eval is not installed (the [test] extra brings it): its line is left out")
    if args.json:
        args.json.write_text(json.dumps({"vllm": vllm, "lm_eval": lm, "summary": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
