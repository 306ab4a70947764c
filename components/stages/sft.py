"""Supervised fine-tuning on reasoning traces; a planted wrong opening is read, never learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
from pydantic import Field

from components.errors import InputError
from components.platform import faults, store
from components.platform.checkpoints import Checkpoints, resume_key
from components.platform.models import local_model, weights_digest
from components.platform.pretrained import end_of_turn, load_pretrained, without_own_bos
from components.platform.tables import read_rows
from components.platform.training import (
    TrainerConfig,
    data_order,
    finish,
    history,
    parse_messages,
    quiet_libraries,
    series,
    train,
    work_folder,
)
from components.platform.verbs import config_options, write_json

IGNORED = -100  # the label that torch's cross-entropy leaves out
_METRICS = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "mean_token_accuracy": "token_accuracy",
    "entropy": "entropy",
}


class SftConfig(TrainerConfig):
    """Recipe part of the sft stage. Beside a field: TRL's default where ours differs."""

    batch_size: int = Field(4, ge=1)  # sequences per device and step; transformers: 8
    learning_rate: float = Field(5e-6, gt=0)  # TRL: 2e-5; HuatuoGPT-o1 and MedReason take 5e-6
    max_length: int = Field(2048, ge=8)  # tokens of prompt and trace together; TRL: 1024, cutting what is longer
    too_long: Literal["drop", "fail"] = "drop"  # a trace is never cut: its answer is at its end
    loss_type: Literal["nll", "dft"] = "nll"
    packing: Literal[False] = False  # packed rows would see each other without flash attention


@dataclass(frozen=True)
class Encoded:
    """Token ids of the rows that fit, and how many did not."""

    rows: list[dict[str, list[int]]]
    too_long: int
    prompt_tokens: int
    learned_tokens: int


def sft(mix: Path, model: str, config: SftConfig, checkpoints: str, out: Path, code: str = "") -> dict[str, Any]:
    """Fine-tune `model` on the rows of `mix`; writes a plain transformers folder to `out`, returns the evidence.

    Rows: `prompt` (chat messages as JSON), `opening` ("" or the wrong start of the assistant's turn, masked),
    `completion`. Checkpoints go to `checkpoints` (store URI) and training resumes from the newest complete one of
    the same config, data and weights. `code` is recorded in their manifests.
    """
    rows = read_mix(mix)
    quiet_libraries()
    base = local_model(model)
    start_digest = weights_digest(base)
    inputs = (("mix", store.file_sha256(Path(mix))), ("weights", start_digest))
    saved = Checkpoints(checkpoints, "sft", resume_key("sft", config.model_dump(), inputs), inputs, code)
    opened = load_pretrained(base, config.seed)
    encoded = encode_rows(rows, opened.tokenizer, config, mix)
    faults.point("sft")
    with work_folder(Path(out)) as work:
        trainer = _trainer(opened, encoded, config, work / "trainer")
        resumed = train(trainer, saved, work)
        records = history(trainer, _METRICS)
        finish(trainer, opened, Path(out), config.dtype)
    steps = int(trainer.state.global_step)
    losses = series(records, "loss")
    return {
        "rows": len(rows),
        "rows_trained": len(encoded.rows),
        "rows_too_long": encoded.too_long,
        "prompt_tokens": encoded.prompt_tokens,
        "learned_tokens": encoded.learned_tokens,
        "steps": steps,
        "epochs": steps * config.batch_size * config.gradient_accumulation_steps / len(encoded.rows),
        "resumed_from_step": resumed,
        "pad_rule": opened.pad_rule,
        "end_rule": opened.end_rule,
        "weights_sha256_start": start_digest,
        "weights_sha256": weights_digest(Path(out)),
        "metrics": {"loss_first": losses[0], "loss_last": losses[-1], "steps": steps, "resumed_from_step": resumed},
        "history": records,
    }


def read_mix(mix: Path) -> list[dict[str, Any]]:
    """Rows with `prompt` parsed; raises InputError naming file, row and field."""
    rows = []
    for number, row in enumerate(read_rows(mix), start=1):
        where = f"{mix}: row {number}"
        if not isinstance(row.get("completion"), str) or not row["completion"].strip():
            raise InputError(f"{where}: completion: must be non-empty text; run curate again")
        rows.append({**row, "prompt": parse_messages(row.get("prompt"), where), "opening": row.get("opening") or ""})
    if not rows:
        raise InputError(f"{mix}: no rows; there is nothing to train on")
    return rows


def encode_rows(rows: Sequence[Mapping[str, Any]], tokenizer: Any, config: SftConfig, mix: Path) -> Encoded:
    """Token ids and labels. Prompt and opening are tokenised on their own, exactly as the model meets them when it
    is asked, and the completion on its own, so no token straddles the edge of the loss mask."""
    from components.engines.rendering import render

    end = end_of_turn(tokenizer)
    encoded: list[dict[str, list[int]]] = []
    too_long = prompt_tokens = learned_tokens = 0
    for number, row in enumerate(rows, start=1):
        text = render(tokenizer, row["prompt"], row["opening"] or None)
        prompt = tokenizer(without_own_bos(tokenizer, text))["input_ids"]
        completion = tokenizer(joined(row["opening"], row["completion"]) + end, add_special_tokens=False)["input_ids"]
        if len(prompt) + len(completion) > config.max_length:
            if config.too_long == "fail":
                raise InputError(
                    f"{mix}: row {number}: completion: {len(prompt)} + {len(completion)} tokens do not fit max_length "
                    f"{config.max_length}; raise it or set too_long: drop"
                )
            too_long += 1
            continue
        prompt_tokens += len(prompt)
        learned_tokens += len(completion)
        encoded.append({"input_ids": prompt + completion, "labels": [IGNORED] * len(prompt) + completion})
    if not encoded:
        raise InputError(f"{mix}: all {len(rows)} rows are longer than max_length {config.max_length} tokens; raise it")
    return Encoded(encoded, too_long, prompt_tokens, learned_tokens)


def joined(opening: str, completion: str) -> str:
    """The completion as it continues an opening: with a space between the two, as a model would write it."""
    apart = not opening or opening[-1].isspace() or completion[0].isspace()
    return completion if apart else f" {completion}"


def _trainer(opened: Any, encoded: Encoded, config: SftConfig, output_dir: Path) -> Any:
    from datasets import Dataset
    from trl import SFTConfig as TrlConfig
    from trl import SFTTrainer

    per_step = config.batch_size * config.gradient_accumulation_steps
    steps = config.max_steps or max(1, round(len(encoded.rows) * config.epochs / per_step))
    order = data_order(len(encoded.rows), steps * per_step, config.seed)
    arguments = TrlConfig(
        **config.arguments(output_dir, steps),
        per_device_train_batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        max_length=config.max_length,
        loss_type=config.loss_type,
        packing=config.packing,
        train_sampling_strategy="sequential",  # the order is ours
        dataset_kwargs={"skip_prepare_dataset": True},  # ids and labels are ours, and nothing is cut
        completion_only_loss=False,  # the labels say it
    )
    return SFTTrainer(
        model=opened.model,
        args=arguments,
        train_dataset=Dataset.from_list(encoded.rows).select(order),
        processing_class=opened.tokenizer,
    )


@click.command("sft")
@click.option("--mix", type=click.Path(dir_okay=False), required=True, help="sft.parquet of curate.")
@click.option("--model", required=True, help="Model reference to start from.")
@click.option("--checkpoints", required=True, help="Store URI or folder for checkpoints; resumed from when it has one.")
@click.option("--out", type=click.Path(file_okay=False), required=True, help="Folder of the trained model.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False), help="Write the evidence here.")
@config_options(SftConfig)
def command(
    mix: str, model: str, checkpoints: str, out: str, json_file: str | None, config: SftConfig
) -> None:
    """Fine-tune a model on reasoning traces."""
    evidence = sft(Path(mix), model, config, checkpoints, Path(out))
    write_json(json_file, evidence)
    metrics = evidence["metrics"]
    click.echo(
        f"sft: {evidence['steps']} steps (from {evidence['resumed_from_step']}), loss {metrics['loss_first']:.3f} to "
        f"{metrics['loss_last']:.3f}; model in {out}"
    )
