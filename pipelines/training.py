"""The training pipeline, top to bottom: from question sets to a registered model version, and its promotion."""

from collections.abc import Sequence
from typing import Any

from kfp import dsl

from components.ops import serving as serving_ops
from components.ops import training as ops
from components.platform.storage.plan import Plan
from pipelines.guarded import guarded, limits
from pipelines.placement import HUB, WEBHOOK, hub_for, place
from pipelines.settings.plan import plan_of
from pipelines.settings.profile import Profile
from pipelines.settings.training_recipe import TrainingRecipe

NAME = "biomed-r1-training"


def training_pipeline(recipe: TrainingRecipe, profile: Profile) -> Any:
    """The KFP pipeline of a recipe on a profile.

    It has no parameters: all settings are in the plan, which the compiled file holds whole and names by its digest.
    """
    plan = plan_of(recipe, profile)

    @dsl.pipeline(name=NAME, description=recipe.description, pipeline_config=limits(profile))
    def training() -> None:
        with guarded(plan, profile) as (checks, last):
            last.extend(_stages(plan, profile, checks))

    return training


def _stages(plan: Plan, profile: Profile, checks: Sequence[dsl.PipelineTask]) -> list[dsl.PipelineTask]:
    """The tasks between doctor and receipts; returns those that no other one waits for.

    A task that takes one or two results gets their addresses. One that takes many, or a result that many take, finds
    them in the receipts of the tasks before it: Argo stores an argument about eleven times.
    """
    told = {"plan": plan.digest, "run": dsl.PIPELINE_JOB_ID_PLACEHOLDER}

    data = ops.ingest(**told).after(*checks)
    place(data, "cpu", profile, "Ingest question sets", asks=HUB)

    line = ops.classify(data=data.output, **told)
    place(line, "classifier", profile, "Train the reasoning classifier", asks=hub_for(plan.stages["classify"]["model"]))

    strata = ops.stratify(data=data.output, classifier=line.outputs["Output"], **told)
    place(strata, "classifier", profile, "Split reasoning from knowledge")

    mix = ops.curate(**told).after(strata)
    place(mix, "classifier", profile, "Curate and decontaminate the training mix")

    base = plan.model("base").reference
    tuned = ops.sft(mix=mix.output, **told)
    place(tuned, "trainer", profile, "Supervised fine-tuning", asks=hub_for(base))

    rewarded = ops.grpo(mix=mix.output, model=tuned.output, **told)
    place(rewarded, "trainer", profile, "GRPO")

    answers = []
    made = {"sft": tuned.output, "grpo": rewarded.output}
    for model in plan.models:
        reference = made.get(model.name, model.reference)
        task = ops.evaluate(model=reference, name=model.name, **told).after(strata)
        place(task, "generator", profile, f"Evaluate {model.name}", asks=hub_for(model.reference))
        answers.append(task)

    verdict = ops.compare(**told).after(*answers)
    place(verdict, "cpu", profile, "Decide: promote or refuse")
    judged = verdict.outputs["judged"]

    # All else that it reads was made before `judged`.
    page = ops.report(judged=judged, **told)
    place(page, "cpu", profile, "Write the report")

    version = ops.register(model=rewarded.output, judged=judged, ledger=verdict.outputs["ledger"], **told)
    # Where models answer: it loads the weights to record the answers that a deployment is compared with.
    place(version, "generator", profile, "Register the model version")

    # No condition in the graph: the task always runs, and what came of it is in its receipt.
    asked = serving_ops.promote(version=version.output, **told)
    place(asked, "cpu", profile, "Promote, propose or refuse", asks=WEBHOOK)
    if "await_deployment" not in plan.stages:
        return [page, asked]
    served = serving_ops.await_deployment(promoted=asked.output, **told)
    place(served, "cpu", profile, "Wait for the deployment")
    return [page, served]
