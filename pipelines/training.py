"""The training pipeline, top to bottom: from question sets to a registered model version, and its promotion."""

from collections.abc import Sequence
from typing import Any

from kfp import dsl

from components.ops import serving as serving_ops
from components.ops import training as ops
from components.platform.storage.plan import Plan
from pipelines.guarded import guarded, limits
from pipelines.placement import HUB, WEBHOOK, place
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
    """The tasks between doctor and receipts; returns those that no other one waits for."""
    told = {"plan": plan.digest, "run": dsl.PIPELINE_JOB_ID_PLACEHOLDER}

    data = ops.ingest(**told).after(*checks)
    place(data, "cpu", profile, "Ingest question sets", asks=HUB)

    line = ops.classify(data=data.output, **told)
    place(line, "classifier", profile, "Train the reasoning classifier", asks=HUB)
    classifier = line.outputs["Output"]

    strata = ops.stratify(data=data.output, classifier=classifier, **told)
    place(strata, "classifier", profile, "Split reasoning from knowledge", asks=HUB)
    items = strata.output

    mix = ops.curate(data=data.output, items=items, classifier=classifier, **told)
    place(mix, "classifier", profile, "Curate and decontaminate the training mix", asks=HUB)

    tuned = ops.sft(mix=mix.output, model=plan.model("base").reference, **told)
    place(tuned, "trainer", profile, "Supervised fine-tuning", asks=HUB)

    rewarded = ops.grpo(mix=mix.output, model=tuned.output, **told)
    place(rewarded, "trainer", profile, "GRPO", asks=HUB)

    answers = {}
    made = {"sft": tuned.output, "grpo": rewarded.output}
    for model in plan.models:
        reference = made.get(model.name, model.reference)
        task = ops.evaluate(items=items, model=reference, name=model.name, **told)
        place(task, "generator", profile, f"Evaluate {model.name}", asks=HUB)
        answers[model.name] = task.output

    verdict = ops.compare(items=items, **told, **answers)
    place(verdict, "cpu", profile, "Decide: promote or refuse")
    judged = verdict.outputs["Output"]

    page = ops.report(
        items=items,
        judged=judged,
        mix=mix.output,
        classifier=classifier,
        tuned=tuned.output,
        rewarded=rewarded.output,
        **told,
        **answers,
    )
    place(page, "cpu", profile, "Write the report")

    decision = verdict.outputs["decision"]
    version = ops.register(model=rewarded.output, judged=judged, decision=decision, **told)
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
