"""What each task of a pipeline does: reads the plan, calls one stage through `execute`, fills its outputs.

Apart from `components.ops`, because KFP stores a component's source about eleven times per task, and because a module
with `@dsl.component` cannot be imported inside a running task. Imports of stages are inside the functions: a task
imports its own stage and no other.
"""

from components.platform.environment import quiet_environment

# Here, because everything a task imports is imported below: no library sees the environment before.
quiet_environment()
