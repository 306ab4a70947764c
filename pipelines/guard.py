"""What a cluster run has around its tasks: a doctor before them, and a record of the outcome after them, always.

The two components are here and not in components/ops.py because they frame a pipeline and are no stages of it. As
there, imports are inside the functions and annotations are real.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from kfp import dsl

from components.ops import CPU_IMAGE
from components.platform.outcome import OutcomeConfig
from components.platform.preflight import PreflightConfig
from pipelines.evaluation_recipe import AnyRecipe, model_references
from pipelines.placement import place
from pipelines.profile import Profile
from pipelines.settings import as_json
from pipelines.tasks import expected


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def doctor(config: str, recipe: str, tags: str, run: str, run_date: str) -> None:
    import json

    from components.platform import tracking
    from components.platform.execution import run_id
    from components.platform.preflight import PreflightConfig, preflight

    for label in preflight(PreflightConfig.model_validate_json(config)):
        print(f"ok    {label}")
    # KFP before 2.17 hands the placeholder over as it is.
    known = {} if run_date.startswith("{{") else {"run_date": run_date}
    tracking.open_pipeline(run_id(run), json.loads(recipe), json.loads(tags) | known)


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def outcome(status: dsl.PipelineTaskFinalStatus, config: str, run: str) -> None:
    from components.platform.execution import run_id
    from components.platform.outcome import OutcomeConfig, record_outcome

    print(record_outcome(run_id(run), status.state, OutcomeConfig.model_validate_json(config)))


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
