"""Supervised fine-tuning on reasoning traces; a planted wrong opening is read, never learned."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from components.platform import faults
from components.platform.folders.outputs import check
from components.training.attention import attend_within_sequences
from components.training.lora import plain_model
from components.training.memory.terms import Work
from components.training.packing import PackCollator, pack_steps
from components.training.place import HERE, Split, TrainerPlace
from components.training.rows import Encoded, TooLong, encode_traces, read_traces
from components.training.sharding import check_world, keep_outputs, sharding_fields
from components.training.trainer import TrainerConfig, data_order, import_trl, open_training, rows_of
from components.training.workers.launch import elsewhere, launch

LOG = logging.getLogger(__name__)
METRICS = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "mean_token_accuracy": "token_accuracy",
    "entropy": "entropy",
}


class SftConfig(TrainerConfig):
    """Recipe part of the sft stage. Beside a field: TRL's default where ours differs."""

    global_batch: int = Field(4, ge=1)  # 8 a device; sequences an optimizer step sees, over all devices
    learning_rate: float = Field(5e-6, gt=0)  # 2e-5; HuatuoGPT-o1 and MedReason take 5e-6
    max_length: int = Field(2048, ge=8)  # 1024; tokens of prompt and trace together
    too_long: TooLong = "drop"  # TRL cuts; a cut trace would lose the answer at its end
    loss_type: Literal["nll", "dft"] = "nll"
    # Tokens of sequences that are computed as one row, without padding; None: a padded row for each sequence.
    tokens_per_pack: int | None = Field(None, ge=8)

    @model_validator(mode="after")
    def _fits(self) -> SftConfig:
        if self.tokens_per_pack and self.tokens_per_pack < self.max_length:
            raise ValueError(f"tokens_per_pack: {self.tokens_per_pack} is less than max_length {self.max_length}")
        return self

    def work(self, place: TrainerPlace) -> Work:
        """What one GPU does at a time, for the memory sum."""
        split = place.split(self.global_batch, "sft.global_batch")
        return Work(
            stage="sft",
            tokens=self.tokens_per_pack or split.micro_batch * self.max_length,
            optimizer_bytes=self.optimizer_bytes,
            checkpointing=self.gradient_checkpointing,
            bf16=self.bf16,
            lora_rank=self.lora.rank if self.lora else None,
        )


def sft(
    mix: Path,
    model: str,
    config: SftConfig,
    checkpoints: str,
    out: Path,
    code: str = "",
    place: TrainerPlace = HERE,
) -> dict[str, Any]:
    """Fine-tune `model` on the rows of `mix`; writes a plain transformers folder to `out`, returns the evidence.

    Rows: `prompt` (chat messages as JSON), `opening` ("" or the wrong start of the assistant's turn, masked),
    `completion`. Checkpoints go to `checkpoints` (store URI) and training resumes from the newest complete one of
    the same config, data and weights. `code` is recorded in their manifests. `place` says how a step is split.
    """
    mix, out = Path(mix), check(Path(out))
    if elsewhere(place):
        return launch("components.stages.sft", place, mix, model, config, checkpoints, out, code)
    rows = read_traces(mix)
    training = open_training("sft", mix, model, config, checkpoints, code)
    encoded = encode_traces(rows, training.opened.tokenizer, config.max_length, config.too_long, mix)
    faults.point("sft")
    evidence = training.run(
        lambda folder: build_trainer(training.opened, encoded, config, folder, place), METRICS, out, config.dtype
    )
    return {
        "rows_in": len(rows),
        "rows_trained": len(encoded.rows),
        "rows_too_long": encoded.too_long,
        "prompt_tokens": encoded.prompt_tokens,
        "learned_tokens": encoded.learned_tokens,
        "epochs": evidence["steps"] * config.global_batch / len(encoded.rows),
        **evidence,
    }


def build_trainer(
    opened: Any, encoded: Encoded, config: SftConfig, output_dir: Path, place: TrainerPlace = HERE
) -> Any:
    """TRL's trainer on rows that are ready: order, token ids and labels are ours."""
    from datasets import Dataset

    from components.training.cpu_head import score_labels_only

    check_world(place)
    per_step = config.global_batch
    split = place.split(per_step, "sft.global_batch")
    steps = config.max_steps or max(1, round(len(encoded.rows) * config.epochs / per_step))
    order = data_order(len(encoded.rows), steps * per_step, config.seed)
    if config.tokens_per_pack:
        lengths = [len(row["input_ids"]) for row in encoded.rows]
        packed = pack_steps(lengths, order, per_step, config.tokens_per_pack, place.processes)
        split, units = Split(1, packed.per_step // place.processes), packed.packs
        data, collator = Dataset.from_dict({"rows": packed.packs}), PackCollator(encoded.rows)
        LOG.info("sft: %d packs a step, idle share %.1f %%", packed.per_step, 100 * packed.idle_share)
    else:
        data, collator = Dataset.from_list(encoded.rows).select(order), None
        units = [[row] for row in order]
    trl = import_trl()
    arguments = trl.SFTConfig(
        **config.arguments(output_dir, steps, split),
        **sharding_fields(place, config.optim),
        learning_rate=config.learning_rate,
        max_length=config.max_length,
        loss_type=config.loss_type,
        train_sampling_strategy="sequential",
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,  # a pack is a list of row numbers
        completion_only_loss=False,  # the labels say what is learned
    )
    keep_outputs(arguments, config.bf16)
    if config.tokens_per_pack:
        attend_within_sequences(plain_model(opened.model))
    trainer = trl.SFTTrainer(
        model=opened.model,
        args=arguments,
        train_dataset=data,
        data_collator=collator,
        processing_class=opened.tokenizer,
    )
    numbers = [[encoded.numbers[row] for row in unit] for unit in units]
    trainer.rows_of = rows_of(numbers, split, place.processes)
    if arguments.use_cpu:
        score_labels_only(plain_model(trainer.model))
    return trainer


if __name__ == "__main__":
    from components.training.workers.main import end_with

    end_with(sft, SftConfig)
