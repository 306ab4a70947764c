"""What frames a cluster run: a doctor before its tasks and a record of the outcome after them. No stage of a pipeline.

As in the other rooms of ops, imports are inside the functions and annotations are real: KFP ships the source and reads
the annotations.
"""

from kfp import dsl

from components.ops.training import CPU_IMAGE


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def doctor(config: str, recipe: str, tags: str, run: str, run_date: str) -> None:
    import json

    from components.platform import tracking
    from components.platform.execution import run_id
    from components.platform.logs import configure
    from components.stages.preflight import PreflightConfig, preflight

    configure()
    preflight(PreflightConfig.model_validate_json(config))
    # KFP before 2.17 hands the placeholder over as it is.
    known = {} if run_date.startswith("{{") else {"run_date": run_date}
    tracking.open_pipeline(run_id(run), json.loads(recipe), json.loads(tags) | known)


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def outcome(status: dsl.PipelineTaskFinalStatus, config: str, run: str) -> None:
    from components.platform.execution import run_id
    from components.platform.logs import configure
    from components.stages.outcome import OutcomeConfig, record_outcome

    configure()
    record_outcome(run_id(run), status.state, OutcomeConfig.model_validate_json(config))
