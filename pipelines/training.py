"""The training pipeline, top to bottom: ten stages, from question sets to a registered model version."""

from collections.abc import Sequence
from typing import Any

from kfp import dsl

from components.ops import training as ops
from components.platform.registry import CHAMPION
from pipelines.guarded import guarded
from pipelines.placement import place
from pipelines.settings.profile import Profile
from pipelines.settings.shared import as_json
from pipelines.settings.training_recipe import TrainingRecipe

NAME = "biomed-r1-training"


def training_pipeline(recipe: TrainingRecipe, profile: Profile) -> Any:
    """The KFP pipeline of a recipe on a profile; configs are baked in, so a compiled file says all that will run."""
    champion = f"registry:{recipe.register_.name}@{CHAMPION}"

    @dsl.pipeline(name=NAME, description=recipe.description)
    def training() -> None:
        with guarded(recipe, profile) as checks:
            _stages(recipe, profile, champion, checks)

    return training


def _stages(recipe: TrainingRecipe, profile: Profile, champion: str, checks: Sequence[dsl.PipelineTask]) -> None:
    run = dsl.PIPELINE_JOB_ID_PLACEHOLDER

    data = ops.ingest(
        sources=recipe.data.benchmarks, train_source=recipe.data.train, config=as_json(recipe.ingest), run=run
    ).after(*checks)
    place(data, "cpu", profile, "Ingest question sets")

    classifier = ops.classify(labels=data.outputs["labels"], config=as_json(recipe.classify), run=run)
    place(classifier, "classifier", profile, "Train the reasoning classifier")
    line = classifier.outputs["Output"]

    strata = ops.stratify(items=data.outputs["benchmarks"], classifier=line, config=as_json(recipe.stratify), run=run)
    place(strata, "classifier", profile, "Split reasoning from knowledge")
    items = strata.outputs["stratified"]

    mix = ops.curate(train=data.outputs["train"], items=items, classifier=line, config=as_json(recipe.curate), run=run)
    place(mix, "classifier", profile, "Curate and decontaminate the training mix")

    tuned = ops.sft(mix=mix.outputs["sft_mix"], model=recipe.base_model, config=as_json(recipe.sft), run=run)
    place(tuned, "trainer", profile, "Supervised fine-tuning")

    rewarded = ops.grpo(mix=mix.outputs["rl_mix"], model=tuned.output, config=as_json(recipe.grpo), run=run)
    place(rewarded, "trainer", profile, "GRPO")

    answers = {}
    models = {"base": recipe.base_model, "sft": tuned.output, "grpo": rewarded.output, "champion": champion}
    for name, model in models.items():
        task = ops.evaluate(items=items, model=model, name=name, config=as_json(recipe.evaluation(name)), run=run)
        place(task, "generator", profile, f"Evaluate {name}")
        answers[name] = task.outputs["answers"]

    verdict = ops.compare(
        items=items, registered=recipe.register_.name, config=as_json(recipe.compare), run=run, **answers
    )
    place(verdict, "cpu", profile, "Decide: promote or refuse")
    judged = {"decision": verdict.outputs["decision"], "scores": verdict.outputs["scores"]}

    page = ops.report(
        items=items,
        curation=mix.outputs["curation"],
        classifier=line,
        sft_uri=tuned.output,
        grpo_uri=rewarded.output,
        config=as_json(recipe.report),
        run=run,
        **judged,
        **answers,
    )
    place(page, "cpu", profile, "Write the report")

    config = as_json(recipe.register_)
    version = ops.register(model=rewarded.output, recipe=recipe.digest(), config=config, run=run, **judged)
    place(version, "cpu", profile, "Register the model version")
