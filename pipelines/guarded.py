"""The frame of a cluster run: a doctor before its tasks, and a record of the outcome after them, always."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from kfp import dsl

from components.ops.guard import doctor, outcome
from components.stages.outcome import OutcomeConfig
from components.stages.preflight import PreflightConfig
from pipelines.placement import place
from pipelines.settings.profile import Profile
from pipelines.settings.recipes import AnyRecipe, model_references
from pipelines.settings.shared import as_json
from pipelines.settings.tasks import expected


@contextmanager
def guarded(recipe: AnyRecipe, profile: Profile) -> Iterator[list[dsl.PipelineTask]]:
    """Tasks made inside run after a doctor and before an exit handler; yields what the first of them come `.after`.

    On a profile of one machine nothing is added: `biomed-r1 run` checks before and records after by itself.
    """
    if not profile.cluster:
        yield []
        return
    run = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    owed = OutcomeConfig(tasks=expected(recipe), price_per_gpu_hour=profile.price_per_gpu_hour)
    last = outcome(config=as_json(owed), run=run)
    # A missing receipt stays missing. What can pass, a server that does not answer for a moment, the clients of S3 and
    # MLflow try again by themselves; KFP can tell the two apart by nothing.
    place(last, "cpu", profile, "Record the outcome", retried=False)
    with dsl.ExitHandler(last, name="Record the outcome whatever happens"):
        sources = ((recipe.data.benchmarks, "benchmarks"), (recipe.data.train, "train"))
        first = doctor(
            config=as_json(PreflightConfig(models=tuple(model_references(recipe)), sources=sources)),
            recipe=recipe.model_dump_json(by_alias=True),
            tags=json.dumps({"recipe": recipe.name, "recipe_digest": recipe.digest(), "profile": profile.name}),
            run=run,
            # When the schedule meant it to start, or when it was started by hand: lineage, and in no stage's key.
            run_date=dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER,
        )
        # A wrong setting stays wrong, and the run should say so in seconds, not after three waits.
        place(first, "cpu", profile, "Check everything the run needs", retried=False)
        yield [first]
