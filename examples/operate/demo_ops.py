"""What an operator does, once through, on this machine: `make demo-ops`. Prints each command and what it answers.

Two small trainings with different seeds, promotion, serving, a deployment, weights that load and are wrong with the
automatic way back, a rollback, which version served when, and cleaning up. Its own home folder (build/demo-ops), its
own servers and registered model: nothing of yours is touched. Some minutes; stops at the first surprise.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HOME = Path(os.environ.get("BIOMED_R1_DEMO_HOME", "build/demo-ops")).absolute()
NAME = "demo-ops"
PORT = 18080


def main() -> None:
    """The whole round; raises SystemExit naming the command that did not end as it must."""
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    for name in ("BIOMED_R1_STORE", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        os.environ.pop(name, None)
    os.environ["BIOMED_R1_HOME"] = str(HOME)
    try:
        _servers()
        _round()
    finally:
        _call(["deploy", "--name", NAME, "--target", "local", "--port", str(PORT), "--down"])
        _call(["down"])


def _round() -> None:
    title("Two trainings with different seeds; the gate refuses both: they are far too small")
    runs = [_train(seed) for seed in (0, 1)]
    one, two = (run["model_version"] for run in runs)
    say("models", "--name", NAME)

    title("Promotion: the gate's refusal stands, unless a person overrules it with a reason")
    say("promote", one, "--name", NAME, "--reason", "first version", exits=3)
    say("promote", one, "--name", NAME, "--force", "--reason", "first version: nothing serves yet")
    say("serve", f"registry:{NAME}@champion", "--port", str(PORT + 10), "--engine", "transformers", "--check")
    deploy = ("deploy", "--name", NAME, "--target", "local", "--port", str(PORT), "--engine", "transformers")
    deploy += ("--bake", "2", "--keep-warm", "600")
    say(*deploy)

    title("The second version takes over, beside the first")
    say("promote", two, "--name", NAME, "--force", "--reason", "another seed, for the demo")
    say(*deploy)
    served = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

    title("Weights that load, answer and are wrong: the smoke test tells, the pointer goes back by itself")
    bad = _register_bad(runs[1])
    say("promote", bad, "--name", NAME, "--force", "--reason", "looks fine")
    say(*deploy, exits=1)
    say("models", "--name", NAME)
    say("promote", bad, "--name", NAME, "--reason", "once more", exits=3)

    title("Back to the first version")
    time.sleep(1)
    say("rollback", "--to", one, "--name", NAME, "--reason", "its tone")
    say(*deploy)

    title("Which version served when, and what nobody needs any more")
    say("models", "--name", NAME, "at", served)
    say("models", "--name", NAME, "at", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    say("gc", "--older-than", "1d")


def title(text: str) -> None:
    print(f"\n# {text}", flush=True)


def say(*words: str, exits: int = 0) -> None:
    """Run a command of ours and show it with its answer; it must end with `exits`."""
    print(f"\n$ biomed-r1 {shlex.join(words)}", flush=True)
    done = _call(words, stderr=subprocess.STDOUT)
    print(done.stdout.strip().replace(str(HOME), "$BIOMED_R1_HOME"), flush=True)
    if exits:
        print(f"(exit code {done.returncode})", flush=True)
    if done.returncode != exits:
        raise SystemExit(f"demo-ops: biomed-r1 {words[0]} ended with {done.returncode}, not {exits}")


def _call(words: Sequence[str], stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.cli", *words]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, text=True)


def _servers() -> None:
    """Start S3 and MLflow and take their addresses and keys over, for `promote` and the others."""
    done = _call(["up", "--print-env"])
    if done.returncode:
        raise SystemExit(f"demo-ops: up ended with {done.returncode}\n{done.stderr}")
    for line in done.stdout.splitlines():
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            os.environ[name] = value.strip("'")


def _train(seed: int) -> dict[str, Any]:
    file = HOME / f"summary-{seed}.json"
    words = ["run", "--recipe", "smoke", "--set", f"sft.seed={seed}", "--set", f"register.name={NAME}"]
    if model := os.environ.get("BIOMED_R1_DEMO_MODEL"):  # a smaller one than the recipe's, for a quick look
        words += ["--set", f"base_model={model}"]
    print(f"\n$ biomed-r1 {shlex.join(words)}", flush=True)
    done = _call([*words, "--json", str(file)])
    if done.returncode:
        raise SystemExit(f"demo-ops: run ended with {done.returncode}\n{done.stderr}")
    lines = done.stdout.splitlines()
    print("\n".join(line for line in lines if line.startswith(("Gate:", "model", "promote", "MLflow"))), flush=True)
    summary: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return summary


def _register_bad(run: dict[str, Any]) -> str:
    """Register a copy of a run's model with one matrix drawn anew, beside the record of the good one's answers."""
    import torch
    from safetensors.torch import load_file, save_file

    from components.platform.storage import objects, store
    from components.serving.deploy import smoke

    good = next(model["uri"] for model in run["models"] if model["name"] == "grpo")
    folder, out = HOME / "bad", HOME / "bad-registered"
    store.get_dir(good, folder)
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("layers.1.mlp.down_proj.weight"))
    torch.manual_seed(0)
    weights[name] = (torch.randn(weights[name].shape) * weights[name].float().std() * 30).to(weights[name].dtype)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / store.MANIFEST).unlink(missing_ok=True)
    uri = f"{os.environ['BIOMED_R1_STORE']}/artifacts/grpo/bad"
    store.put_dir(folder, uri, stage="grpo", key="bad")
    objects.put_json(smoke.smoke_uri(uri), smoke.read(good))
    decision = dict(run["gate"])
    decision["models"] = {**decision["models"], "candidate": {"name": "grpo"}}
    for file, value in (("decision.json", decision), ("scores.json", run["scores"])):
        (HOME / file).write_text(json.dumps(value), encoding="utf-8")
    words = ["register", "--model", uri, "--decision", str(HOME / "decision.json")]
    words += ["--scores", str(HOME / "scores.json"), "--out", str(out), "--set", f"name={NAME}"]
    done = _call([*words, "--json", str(HOME / "bad.json")])
    if done.returncode:
        raise SystemExit(f"demo-ops: register ended with {done.returncode}\n{done.stderr}")
    print(f"(a copy of version {run['model_version']} with one weight matrix drawn anew was registered)", flush=True)
    return str(json.loads((HOME / "bad.json").read_text(encoding="utf-8"))["version"])


if __name__ == "__main__":
    main()
