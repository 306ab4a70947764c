"""The training pipeline, top to bottom: ten stages, from question sets to a registered model version."""

from collections.abc import Sequence
from typing import Any

from kfp import dsl

from components.ops import training as ops
from components.platform.plan import Plan
from pipelines.guarded import guarded, limits
from pipelines.placement import place
from pipelines.settings.plan import plan_of
from pipelines.settings.recipe import Profile, Recipe

NAME = "biomed-r1-training"


def training_pipeline(recipe: Recipe, profile: Profile) -> Any:
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
    place(data, "cpu", profile, "Ingest question sets")

    classifier = ops.classify(labels=data.outputs["labels"], **told)
    place(classifier, "classifier", profile, "Train the reasoning classifier")
    line = classifier.outputs["Output"]

    strata = ops.stratify(items=data.outputs["benchmarks"], classifier=line, **told)
    place(strata, "classifier", profile, "Split reasoning from knowledge")
    items = strata.outputs["stratified"]

    mix = ops.curate(train=data.outputs["train"], items=items, classifier=line, **told)
    place(mix, "classifier", profile, "Curate and decontaminate the training mix")

    tuned = ops.sft(mix=mix.outputs["sft_mix"], model=plan.model("base").reference, **told)
    place(tuned, "trainer", profile, "Supervised fine-tuning")

    rewarded = ops.grpo(mix=mix.outputs["rl_mix"], model=tuned.output, **told)
    place(rewarded, "trainer", profile, "GRPO")

    answers = {}
    made = {"sft": tuned.output, "grpo": rewarded.output}
    for model in plan.models:
        reference = made.get(model.name, model.reference)
        task = ops.evaluate(items=items, model=reference, name=model.name, **told)
        place(task, "generator", profile, f"Evaluate {model.name}")
        answers[model.name] = task.outputs["answers"]

    verdict = ops.compare(items=items, candidate_uri=rewarded.output, **told, **answers)
    place(verdict, "cpu", profile, "Decide: promote or refuse")
    judged = {"decision": verdict.outputs["decision"], "scores": verdict.outputs["scores"]}

    page = ops.report(
        items=items,
        curation=mix.outputs["curation"],
        classifier=line,
        sft_uri=tuned.output,
        grpo_uri=rewarded.output,
        **told,
        **judged,
        **answers,
    )
    place(page, "cpu", profile, "Write the report")

    version = ops.register(model=rewarded.output, **told, **judged)
    place(version, "cpu", profile, "Register the model version")
    return [page, version]
