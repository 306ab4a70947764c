"""Whether a recipe's trainers fit the GPUs of a profile: told before any GPU is held."""

from __future__ import annotations

from dataclasses import dataclass

from components.errors import InputError
from components.training.memory.shapes import Shape, shape_of
from components.training.memory.terms import GIB, Term, terms, total, vllm_weights
from components.training.place import TrainerPlace
from pipelines.settings.profile import Profile
from pipelines.settings.recipes import AnyRecipe
from pipelines.settings.training_recipe import TrainingRecipe

# Of the terms of a sum that is too large: those that an error names.
_NAMED = 3


@dataclass(frozen=True)
class Sum:
    """What one stage needs of one GPU."""

    stage: str
    terms: tuple[Term, ...]
    limit: float  # bytes
    parts: str  # nodes and GPUs, in words

    @property
    def size(self) -> float:
        return total(self.terms)

    def __str__(self) -> str:
        said = " + ".join(map(str, self.terms))
        return f"{self.stage}: {self.size / GIB:.1f} GiB of {self.limit / GIB:.1f} a GPU on {self.parts}: {said}"


def check_memory(recipe: AnyRecipe, profile: Profile) -> list[Sum]:
    """The sum of each trainer, where the profile says how large its GPUs are and the model's shape is known.

    Raises InputError naming the largest terms of each that does not fit, and for a step that cannot be split evenly
    over the profile's processes.
    """
    place = profile.trainer
    if not isinstance(recipe, TrainingRecipe):
        return []
    works = (recipe.sft.work(place), recipe.grpo.work(place))
    if place.gpu_gib is None or (shape := shape_of(recipe.base_model)) is None:
        return []
    parts = f"{place.nodes} x {max(1, place.gpus)} GPUs"
    limit = place.gpu_gib * GIB
    found = [Sum(work.stage, tuple(terms(shape, work, place)), limit, parts) for work in works]
    problems = [_too_large(entry) for entry in found if entry.size > entry.limit]
    if recipe.grpo.generator == "vllm":
        problems += _too_small_for_vllm(shape, place, place.vllm.memory * limit)
    if problems:
        raise InputError("\n".join(f"recipe {recipe.name} on profile {profile.name}: {text}" for text in problems))
    return found


def _too_large(entry: Sum) -> str:
    named = ", ".join(f"{term} GiB" for term in entry.terms[:_NAMED])
    return (
        f"{entry} GiB; the largest are {named}; take more GPUs (trainer.nodes), a smaller trainer.micro_batch, "
        "trainer.vllm.sleep, or train with `lora`"
    )


def _too_small_for_vllm(shape: Shape, place: TrainerPlace, given: float) -> list[str]:
    """What is wrong with `given` bytes of a GPU for vLLM."""
    needed = vllm_weights(shape, place)
    if needed.size < given:
        return []
    return [
        f"grpo: vLLM has {given / GIB:.1f} GiB a GPU and needs more than {needed.size / GIB:.1f}; raise "
        "trainer.vllm.memory or trainer.vllm.tensor_parallel"
    ]
