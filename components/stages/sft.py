"""Supervised fine-tuning on reasoning traces; a planted wrong opening is read, never learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from components.platform import faults
from components.training.rows import Encoded, TooLong, encode_traces, read_traces
from components.training.trainer import TrainerConfig, data_order, import_trl, open_training, rows_of

METRICS = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "mean_token_accuracy": "token_accuracy",
    "entropy": "entropy",
}


class SftConfig(TrainerConfig):
    """Recipe part of the sft stage. Beside a field: TRL's default where ours differs."""

    batch_size: int = Field(4, ge=1)  # 8; sequences per device and step
    learning_rate: float = Field(5e-6, gt=0)  # 2e-5; HuatuoGPT-o1 and MedReason take 5e-6
    max_length: int = Field(2048, ge=8)  # 1024; tokens of prompt and trace together
    too_long: TooLong = "drop"  # TRL cuts; a cut trace would lose the answer at its end
    loss_type: Literal["nll", "dft"] = "nll"
    packing: Literal[False] = False  # packed rows would see each other without flash attention


def sft(mix: Path, model: str, config: SftConfig, checkpoints: str, out: Path, code: str = "") -> dict[str, Any]:
    """Fine-tune `model` on the rows of `mix`; writes a plain transformers folder to `out`, returns the evidence.

    Rows: `prompt` (chat messages as JSON), `opening` ("" or the wrong start of the assistant's turn, masked),
    `completion`. Checkpoints go to `checkpoints` (store URI) and training resumes from the newest complete one of
    the same config, data and weights. `code` is recorded in their manifests.
    """
    mix, out = Path(mix), Path(out)
    rows = read_traces(mix)
    training = open_training("sft", mix, model, config, checkpoints, code)
    encoded = encode_traces(rows, training.opened.tokenizer, config.max_length, config.too_long, mix)
    faults.point("sft")
    evidence = training.run(
        lambda folder: build_trainer(training.opened, encoded, config, folder), METRICS, out, config.dtype
    )
    per_step = config.batch_size * config.gradient_accumulation_steps
    return {
        "rows_in": len(rows),
        "rows_trained": len(encoded.rows),
        "rows_too_long": encoded.too_long,
        "prompt_tokens": encoded.prompt_tokens,
        "learned_tokens": encoded.learned_tokens,
        "epochs": evidence["steps"] * per_step / len(encoded.rows),
        **evidence,
    }


def build_trainer(opened: Any, encoded: Encoded, config: SftConfig, output_dir: Path) -> Any:
    """TRL's trainer on rows that are ready: order, token ids and labels are ours."""
    from datasets import Dataset

    from components.training.cpu_head import score_labels_only

    per_step = config.batch_size * config.gradient_accumulation_steps
    steps = config.max_steps or max(1, round(len(encoded.rows) * config.epochs / per_step))
    order = data_order(len(encoded.rows), steps * per_step, config.seed)
    trl = import_trl()
    arguments = trl.SFTConfig(
        **config.arguments(output_dir, steps),
        per_device_train_batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        max_length=config.max_length,
        loss_type=config.loss_type,
        packing=config.packing,
        train_sampling_strategy="sequential",
        dataset_kwargs={"skip_prepare_dataset": True},
        completion_only_loss=False,  # the labels say what is learned
    )
    trainer = trl.SFTTrainer(
        model=opened.model,
        args=arguments,
        train_dataset=Dataset.from_list(encoded.rows).select(order),
        processing_class=opened.tokenizer,
    )
    trainer.rows_of = rows_of(
        [encoded.numbers[row] for row in order], per_step, config.batch_size, arguments.world_size
    )
    if arguments.use_cpu:
        score_labels_only(trainer.model)
    return trainer
