"""Where a trainer runs, as a profile says it: processes, sharding, and how one step is split. No result depends on it.

A recipe says what an optimizer step sees (`global_batch`, `prompts_per_step`). How many sequences one GPU takes at a
time, and so how often gradients are added up before a step, follows from this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from components.errors import InputError

Launch = Literal["process", "torchrun", "trainjob"]


@dataclass(frozen=True)
class Split:
    """Sequences that one process takes at a time, and how many times it does so in one optimizer step."""

    micro_batch: int
    accumulation: int


class VllmPlace(BaseModel):
    """vLLM inside a GRPO trainer, on the same GPUs as the weights that are trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tensor_parallel: int = Field(1, ge=1, description="GPUs that one copy of the weights is spread over")
    memory: float = Field(0.3, gt=0, lt=1, description="share of a GPU's memory, for weights and KV cache")
    sleep: bool = Field(False, description="give that memory back while the trainer computes gradients")


class JobPlace(BaseModel):
    """What a TrainJob asks of the cluster. A profile says `runtime`; the rest follows from its role `trainer`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runtime: str = Field("biomed-r1-trainer", description="a TrainingRuntime of the namespace (manifests/)")
    image: str | None = None
    cpu: str | None = None
    memory: str | None = None
    queue: str | None = Field(None, description="Kueue's LocalQueue")
    priority_class: str | None = None
    gpu_product: str | None = None
    deadline_seconds: int | None = Field(None, ge=1, description="after this a job that nobody watches ends too")
    environment: tuple[str, ...] = Field((), description="variables of the task that the pods get, by name")
    run: str = Field("", description="KFP's id of the run, set by the task")


class TrainerPlace(BaseModel):
    """The `trainer` section of a profile. The default is one process on whatever it sees: a CPU, or one GPU."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    nodes: int = Field(1, ge=1)
    gpus: int = Field(0, ge=0, description="of each node, a process each; 0: one process, on the CPU or the only GPU")
    gpu_gib: float | None = Field(None, gt=0, description="memory of one GPU that a process can use; null: not summed")
    launch: Launch = "process"
    sharding: Literal["none", "full"] = Field("none", description="full: FSDP2 splits weights, gradients, optimizer")
    offload: Literal["none", "cpu"] = Field("none", description="cpu: what sharding splits waits in the node's memory")
    micro_batch: int | None = Field(None, ge=1, description="sequences a GPU takes at a time, at most; null: its share")
    vllm: VllmPlace = VllmPlace()
    job: JobPlace = Field(JobPlace(), description="with launch: trainjob")

    @model_validator(mode="after")
    def _fits(self) -> TrainerPlace:
        if self.launch == "process" and self.processes > 1:
            raise ValueError(f"launch: process drives one GPU, not {self.processes}; take torchrun or trainjob")
        if self.nodes > 1 and self.launch != "trainjob":
            raise ValueError(f"launch: {self.nodes} nodes need trainjob")
        if self.nodes > 1 and not self.gpus:
            raise ValueError("gpus: say how many each node has")
        if self.offload == "cpu" and self.sharding != "full":
            raise ValueError("offload: cpu goes with sharding: full")
        if self.processes % self.vllm.tensor_parallel:
            raise ValueError(f"vllm.tensor_parallel: {self.vllm.tensor_parallel} must divide {self.processes} GPUs")
        return self

    @property
    def processes(self) -> int:
        """How many processes train together."""
        return self.nodes * max(1, self.gpus)

    def split(self, sequences: int, fields: str) -> Split:
        """How the sequences of one optimizer step are split; `fields` names what set them, for the error.

        Raises InputError unless every process gets the same number.
        """
        share, rest = divmod(sequences, self.processes)
        if rest:
            raise InputError(
                f"{fields}: {sequences} sequences a step cannot be split evenly over {self.processes} processes; "
                "change the recipe's number or the profile's trainer.gpus and trainer.nodes"
            )
        limit = min(self.micro_batch or share, share)
        micro = next(size for size in range(limit, 0, -1) if share % size == 0)
        return Split(micro, share // micro)


HERE = TrainerPlace()
