"""Reinforcement learning (GRPO) on questions, some of which the assistant has begun to answer wrongly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from components.platform import faults
from components.platform.folders.outputs import check
from components.training.lora import plain_model
from components.training.memory.terms import Work
from components.training.place import HERE, Split, TrainerPlace
from components.training.rewards import REWARDS, rewards
from components.training.rl.held_out import evaluation_fields, hold_out
from components.training.rl.scoring import log_dropped, once, seed_requests
from components.training.rl.watching import best_callback, rollout_callback, spread_callback
from components.training.rows import Row, TooLong, read_questions, render_questions
from components.training.sharding import check_world, keep_outputs, sharding_fields
from components.training.trainer import TrainerConfig, data_order, import_trl, open_training, series
from components.training.workers.launch import elsewhere, launch

METRICS = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "reward": "reward",
    "reward_std": "reward_std",
    "frac_reward_zero_std": "groups_without_signal",
    "entropy": "entropy",
    "kl": "kl",
    "completions/mean_length": "completion_tokens",
    "completions/clipped_ratio": "truncated_share",
    **{f"rewards/{name}/mean": f"reward_{name}" for name in REWARDS},
    "sampling/dropped_share": "sampling_dropped_share",
    "sampling/sampling_logp_difference/mean": "sampling_logp_difference",
    "sampling/sampling_logp_difference/max": "sampling_logp_difference_max",
    "sampling/importance_sampling_ratio/mean": "sampling_ratio",
}


class GrpoConfig(TrainerConfig):
    """Recipe part of the grpo stage. Beside a field: TRL's default where ours differs."""

    prompts_per_step: int = Field(1, ge=1)  # questions an optimizer step sees, over all devices
    num_generations: int = Field(8, ge=2)  # completions per question: the group whose mean is the baseline
    updates_per_generation: int = Field(1, ge=1)  # optimizer steps that share the completions of one generation
    num_iterations: int = Field(1, ge=1)  # times each of them is used
    learning_rate: float = Field(1e-6, gt=0)
    max_prompt_length: int = Field(2048, ge=8)  # tokens; TRL has no such limit any more
    too_long: TooLong = "drop"  # of prompts: a question is never cut
    max_completion_length: int = Field(1024, ge=1)  # TRL: 512
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0)
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float = Field(1.0, gt=0)
    loss_type: Literal["grpo", "dr_grpo", "bnpo", "dapo", "cispo"] = "dapo"
    beta: float = Field(0.0, ge=0)  # 0: no reference model is loaded at all
    epsilon: float = Field(0.2, gt=0)
    epsilon_high: float | None = Field(None, gt=0)  # None: epsilon; DAPO takes 0.28
    scale_rewards: Literal["group", "batch", "none"] = "group"
    importance_sampling_level: Literal["token", "sequence"] = "token"
    mask_truncated_completions: bool = False
    # What writes completions: trl (its own, with the trained weights), vllm (GPU), or shared_prompt (CPU: bf16 copy of
    # the weights, each question read once; samples by temperature and top_p only).
    generator: Literal["trl", "vllm", "shared_prompt"] = "trl"
    # What TRL does where vLLM's log-probabilities and the trainer's differ: drop a completion whose ratio is above 3,
    # or cut the ratio of each token there. Both are logged (sampling_*).
    vllm_correction: Literal["sequence_mask", "token_truncate", "none"] = "sequence_mask"
    evaluation_rows: int = Field(0, ge=0)  # questions that are never trained on, and asked every evaluation_steps
    evaluation_steps: int = Field(50, ge=1)
    patience: int | None = Field(None, ge=1)  # evaluations without a better reward, after which the training ends
    hand_on: Literal["last", "best"] = "last"  # which weights: of the last step, or of the best held-out reward
    max_steps_without_spread: int | None = Field(50, ge=1)
    rollout_steps: int | None = Field(10, ge=1)  # completions of every so many steps are stored, to be read
    reward_correctness: float = Field(1.0, ge=0)
    reward_format: float = Field(0.2, ge=0)
    reward_self_correction: float = Field(0.5, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> GrpoConfig:
        if self.save_steps % self.cycle:
            raise ValueError(f"save_steps: must be a multiple of {self.cycle}, or resuming would change the data")
        if self.max_steps and self.max_steps % self.cycle:
            raise ValueError(f"max_steps: must be a multiple of {self.cycle}, or the last completions go unused")
        if self.evaluation_rows and self.evaluation_steps % self.cycle:
            raise ValueError(f"evaluation_steps: must be a multiple of {self.cycle}, where a checkpoint can be written")
        if self.patience and not self.evaluation_rows:
            raise ValueError("patience: goes with evaluation_rows, of which there are none")
        if self.hand_on == "best" and not self.evaluation_rows:
            raise ValueError("hand_on: best goes with evaluation_rows, of which there are none")
        if self.generator == "shared_prompt" and (self.top_k or self.min_p or self.repetition_penalty != 1.0):
            raise ValueError("generator: shared_prompt knows no top_k, min_p or repetition_penalty; take trl or vllm")
        return self

    @property
    def cycle(self) -> int:
        """Optimizer steps between one generation and the next."""
        return self.updates_per_generation * self.num_iterations

    @property
    def completions_per_step(self) -> int:
        return self.prompts_per_step * self.num_generations

    @property
    def generation_batch(self) -> int:
        """Completions that are sampled together."""
        return self.completions_per_step * self.updates_per_generation

    def split(self, place: TrainerPlace) -> Split:
        return place.split(self.completions_per_step, "grpo.prompts_per_step x num_generations")

    def work(self, place: TrainerPlace) -> Work:
        """What one GPU does at a time, for the memory sum."""
        return Work(
            stage="grpo",
            tokens=self.split(place).micro_batch * (self.max_prompt_length + self.max_completion_length),
            optimizer_bytes=self.optimizer_bytes,
            checkpointing=self.gradient_checkpointing,
            bf16=self.bf16,
            lora_rank=self.lora.rank if self.lora else None,
            reference_model=self.beta > 0 and self.lora is None,  # with LoRA it is the model without its adapter
            vllm=self.generator == "vllm",
        )


def grpo(
    mix: Path,
    model: str,
    config: GrpoConfig,
    checkpoints: str,
    out: Path,
    code: str = "",
    place: TrainerPlace = HERE,
) -> dict[str, Any]:
    """Train `model` by GRPO on the rows of `mix`; writes a plain transformers folder to `out`, returns the evidence.

    Rows: `prompt` (chat messages as JSON), `options` (JSON), `answer_idx`, `opening` ("" or a wrong start of the
    assistant's turn, which the model continues). Checkpoints go to `checkpoints` (store URI) and training resumes
    from the newest complete one of the same config, data and weights. `code` is recorded in their manifests. `place`
    says how a step is split.
    """
    mix, out = Path(mix), check(Path(out))
    if elsewhere(place):
        return launch("components.stages.grpo", place, mix, model, config, checkpoints, out, code)
    rows = read_questions(mix)
    training = open_training("grpo", mix, model, config, checkpoints, code)
    tokenizer = training.opened.tokenizer
    questions = render_questions(rows, tokenizer, config.max_prompt_length, config.too_long, mix)
    faults.point("grpo")
    asked, held_out = hold_out(questions, config.evaluation_rows, config.seed)
    rollouts = f"{checkpoints.rstrip('/')}-rollouts"

    def build(folder: Path) -> Any:
        trainer = build_trainer(training.opened, asked, config, folder, place, held_out)
        for callback in _callbacks(trainer, config, rollouts):
            trainer.add_callback(callback)
        return trainer

    evidence = training.run(build, METRICS, out, config.dtype)
    earned = series(evidence["history"], "reward")
    generations = evidence["steps"] // config.cycle
    evidence["metrics"] |= {"reward_first": earned[0], "reward_last": earned[-1]}
    return {
        "rows_in": len(rows),
        "rows_trained": len(asked),
        "rows_held_out": len(held_out),
        "rollouts": rollouts if config.rollout_steps else None,
        "rows_too_long": len(rows) - len(questions),
        "rows_with_opening": sum(bool(question["opening"]) for question in questions),
        "completions": generations * config.generation_batch,
        "rewards": earned,
        **evidence,
    }


def reward_functions() -> list[Callable[..., list[float | None]]]:
    """The rewards with TRL's calling convention: lists in, a list out, None where a reward does not apply."""
    return once(REWARDS, lambda *given: rewards(*given))


def build_trainer(
    opened: Any,
    questions: list[Row],
    config: GrpoConfig,
    output_dir: Path,
    place: TrainerPlace = HERE,
    held_out: Sequence[Row] = (),
) -> Any:
    """TRL's trainer on rendered questions, in our order; `held_out` are evaluated every evaluation_steps."""
    from datasets import Dataset

    from components.training.cpu_head import score_labels_only

    check_world(place)
    per_generation = config.generation_batch // config.num_generations
    wanted = len(questions) * config.epochs / per_generation  # generations
    steps = config.max_steps or max(1, round(wanted)) * config.cycle
    order = data_order(len(questions), steps // config.cycle * per_generation, config.seed)
    split = config.split(place)
    trl = import_trl(vllm=config.generator == "vllm")
    arguments = trl.GRPOConfig(
        **config.arguments(output_dir, steps, split),
        **sharding_fields(place, config.optim),
        num_generations=config.num_generations,
        steps_per_generation=config.updates_per_generation * split.accumulation,
        num_iterations=config.num_iterations,
        learning_rate=config.learning_rate,
        max_completion_length=config.max_completion_length,
        temperature=config.temperature,
        top_p=config.top_p,
        top_k=config.top_k,
        min_p=config.min_p,
        repetition_penalty=config.repetition_penalty,
        loss_type=config.loss_type,
        beta=config.beta,
        epsilon=config.epsilon,
        epsilon_high=config.epsilon_high,
        scale_rewards=config.scale_rewards,
        importance_sampling_level=config.importance_sampling_level,
        mask_truncated_completions=config.mask_truncated_completions,
        use_vllm=config.generator == "vllm",
        vllm_mode="colocate",  # server mode hangs on a lost weight sync without an error
        vllm_gpu_memory_utilization=place.vllm.memory,
        vllm_tensor_parallel_size=place.vllm.tensor_parallel,
        vllm_enable_sleep_mode=place.vllm.sleep,
        vllm_max_model_length=config.max_prompt_length + config.max_completion_length,  # else the model's own 128k
        vllm_importance_sampling_correction=config.vllm_correction != "none",
        vllm_importance_sampling_mode="sequence_mask" if config.vllm_correction == "none" else config.vllm_correction,
        **evaluation_fields(config.evaluation_steps, len(held_out), place),
        reward_weights=[getattr(config, f"reward_{name}") for name in REWARDS],
        shuffle_dataset=False,  # the order is ours
    )
    keep_outputs(arguments, config.bf16)
    trainer = trl.GRPOTrainer(
        model=opened.model,
        reward_funcs=reward_functions(),
        args=arguments,
        train_dataset=Dataset.from_list(questions).select(order),
        eval_dataset=Dataset.from_list(list(held_out)) if held_out else None,
        processing_class=opened.tokenizer,
        rollout_func=_rollout(opened, config),
    )
    numbers = [questions[row]["row"] for row in order]  # of a whole generation: its ranks are TRL's affair
    trainer.rows_of = lambda step, _: numbers[step // config.cycle * per_generation :][:per_generation]
    if config.generator == "vllm":
        seed_requests(trainer, config.seed)
        log_dropped(trainer)
    if arguments.use_cpu:
        score_labels_only(plain_model(trainer.model), config.temperature)
    return trainer


def _callbacks(trainer: Any, config: GrpoConfig, rollouts: str) -> list[Any]:
    found = []
    if config.evaluation_rows:
        found.append(best_callback(config.evaluation_steps, config.patience))
    if config.max_steps_without_spread:
        found.append(spread_callback(config.max_steps_without_spread))
    if config.rollout_steps:
        found.append(rollout_callback(trainer, rollouts, config.rollout_steps))
    return found


def _rollout(opened: Any, config: GrpoConfig) -> Any:
    if config.generator != "shared_prompt":
        return None
    from components.engines.base import Sampling
    from components.training.rollout import Rollout

    sampling = Sampling(config.max_completion_length, config.temperature, config.top_p)
    return Rollout(opened.model, opened.tokenizer, sampling)


if __name__ == "__main__":
    from components.training.workers.main import end_with

    end_with(grpo, GrpoConfig)
