"""Callbacks of a GRPO training: the best held-out evaluation, no spread for too long, rollouts to be read."""

from __future__ import annotations

import logging
import math
from typing import Any

from components.errors import ReadableError, StageError
from components.platform.storage import store
from components.training.saving.callback import end_early

LOG = logging.getLogger(__name__)
NO_SPREAD = "frac_reward_zero_std"


def best_callback(every: int, patience: int | None) -> Any:
    """Remembers the step of the best held-out reward in the trainer's state, and ends a training that got no better
    for `patience` evaluations. A checkpoint is due wherever there is an evaluation, so that the best one can be kept.
    """
    from transformers import TrainerCallback

    class Best(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002
            if state.global_step % every == 0:
                control.should_save = True
            return control

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> Any:  # noqa: ARG002
            reward = float((metrics or {}).get("eval_reward", math.nan))
            if state.best_metric is None or reward > state.best_metric:
                state.best_metric, state.best_global_step = reward, state.global_step
            since = (state.global_step - (state.best_global_step or 0)) // every
            LOG.info("grpo: step %d: held-out reward %.3f, best %.3f", state.global_step, reward, state.best_metric)
            if patience is not None and since >= patience:
                end_early(
                    control,
                    f"no better held-out reward for {since} evaluations; the best was {state.best_metric:.3f} at step "
                    f"{state.best_global_step}",
                )
            return control

    return Best()


def spread_callback(limit: int) -> Any:
    """Ends a training in which no group of completions had rewards that differ, for `limit` steps in a row.

    Such a step has no gradient. Raises StageError.
    """
    from transformers import TrainerCallback

    class Spread(TrainerCallback):
        without = 0

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
            share = (logs or {}).get(NO_SPREAD)
            if share is None:
                return
            self.without = self.without + 1 if share >= 1 else 0
            if self.without >= limit:
                raise StageError(
                    f"grpo: step {state.global_step}: for {limit} steps no group of completions had rewards that "
                    "differ, so nothing was learnt; take other questions or a better model to start from, raise "
                    "temperature or num_generations, or raise max_steps_without_spread"
                )

    return Spread()


def rollout_callback(trainer: Any, uri: str, every: int) -> Any:
    """Stores what was written at every `every`th step, to be read: `uri`/step-N.json, prompts, completions, rewards.

    A store that does not answer is reported and costs that step's file.
    """
    from transformers import TrainerCallback

    class Rollouts(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            if state.global_step % every or not state.is_world_process_zero:
                return
            logs = trainer._logs
            rewards = {name: list(values) for name, values in logs["rewards"].items()}
            rows = [
                {
                    "prompt": prompt,
                    "completion": completion,
                    "advantage": advantage,
                    "rewards": {name: _number(values[number]) for name, values in rewards.items()},
                }
                for number, (prompt, completion, advantage) in enumerate(
                    zip(logs["prompt"], logs["completion"], logs["advantages"], strict=True)
                )
            ]
            try:
                store.put_json(f"{uri}/step-{state.global_step:06d}.json", {"schema_version": 1, "rows": rows})
            except ReadableError as error:
                LOG.warning("grpo: the rollouts of step %d were not stored: %s", state.global_step, error)

    return Rollouts()


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
