"""The processes of a training without torchrun: forked from one that has imported everything, seconds less for each.

Put `run` in place of `components.training.workers.launch._torchrun`. What the processes do is the same. Where ROWS is
set in the environment, each writes what it was given to that folder: the lengths of the rows of every batch. GRPO's
rewards are `planted_rewards`, for the tiny model's answers are all wrong.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import socket
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from zlib import crc32

from components.training.rewards import REWARDS

PRELOADED = [
    "torch",
    "trl.trainer.sft_trainer",
    "trl.trainer.grpo_trainer",
    "torch.distributed.checkpoint",
    "accelerate",
]
CONFIGS = {"components.stages.sft": ("sft", "SftConfig"), "components.stages.grpo": ("grpo", "GrpoConfig")}
ROWS = "BIOMED_R1_TEST_ROWS"
alive: list[ForkServerProcess] = []  # the processes of the training that runs, by rank


def run(module: str, place: Any, folder: Path, nodes: int = 1) -> int:
    """As `_torchrun`: start the processes, end them all when one has died, return a status that is 0 if all is well.

    With `nodes`, every node but the first has a folder of its own for its work and its result.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    local = place.processes // nodes
    world = {"WORLD_SIZE": place.processes, "LOCAL_WORLD_SIZE": local, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    disks = [folder, *(_disk(folder, node) for node in range(1, nodes))]
    given = [
        {**os.environ, **world, "RANK": rank, "LOCAL_RANK": rank % local, "BIOMED_R1_WORKER": disks[rank // local]}
        for rank in range(place.processes)
    ]
    alive[:] = [context.Process(target=_rank, args=(module, environment)) for environment in given]
    for process in alive:
        process.start()
    while all(process.exitcode in (None, 0) for process in alive) and any(process.is_alive() for process in alive):
        time.sleep(0.02)
    for process in alive:
        if process.is_alive():
            process.terminate()
    for process in alive:
        process.join(60)
        process.kill()
        process.join()
    return next((process.exitcode or 0 for process in alive if process.exitcode), 0)


def alone(folder: Path, given: tuple[Any, ...]) -> dict[str, Any]:
    """What `sft(*given)` returns or raises in one process of its own, without a process group."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    receive, send = context.Pipe(duplex=False)
    alive[:] = [context.Process(target=_alone, args=(dict(os.environ), given, send))]
    alive[0].start()
    send.close()
    try:
        result = receive.recv()
    finally:
        alive[0].join()
    if isinstance(result, Exception):
        raise result
    return dict(result)


def _alone(environment: dict[str, str], given: tuple[Any, ...], send: Any) -> None:
    os.environ.clear()
    os.environ.update(environment | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"})
    from components.errors import ReadableError
    from components.platform import logs
    from components.stages.sft import sft

    logs.configure()
    try:
        send.send(sft(*given))
    except ReadableError as error:
        send.send(error)


def _disk(folder: Path, node: int) -> Path:
    made = folder / f"disk-of-node-{node}"
    made.mkdir()
    request = json.loads((folder / "request.json").read_text())
    request["given"]["out"] = str(made / "out")
    (made / "request.json").write_text(json.dumps(request))
    return made


def _rank(module: str, environment: dict[str, Any]) -> None:
    os.environ.clear()  # what the first training of the suite had set
    os.environ.update({name: str(value) for name, value in environment.items()})
    import fsdp_on_cpu

    from components.training.workers.main import end_with

    fsdp_on_cpu.patch()
    stage = importlib.import_module(module)
    if hasattr(stage, "rewards"):
        stage.rewards = planted_rewards  # type: ignore[attr-defined]
    if rows := os.environ.get(ROWS):
        record_rows(stage, Path(rows))
    sys.argv = [module, os.environ["BIOMED_R1_WORKER"]]
    end_with(*(getattr(stage, name) for name in CONFIGS[module]))


def planted_rewards(text: str, *_: Any) -> dict[str, float | None]:
    """Rewards of one completion that differ within a group."""
    return dict.fromkeys(REWARDS, crc32(text.encode()) % 7 / 7)


def record_rows(stage: Any, folder: Path) -> None:
    """Have the trainers of a stage's module write the lengths of the rows that they compute, a line for each batch."""
    build = stage.build_trainer

    def recording(*args: Any, **given: Any) -> Any:
        trainer = build(*args, **given)
        compute = trainer.training_step

        def training_step(model: Any, inputs: Any, *rest: Any) -> Any:
            lengths = inputs["attention_mask"].sum(dim=1).tolist()
            with (folder / f"{trainer.args.process_index}.jsonl").open("a") as file:
                file.write(json.dumps([trainer.state.global_step, lengths]) + "\n")
            return compute(model, inputs, *rest)

        trainer.training_step = training_step
        return trainer

    stage.build_trainer = recording
