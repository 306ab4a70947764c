"""What each task of a pipeline does: reads the plan, calls one stage through `execute`, fills its outputs.

Apart from `components.ops`, so that kfp stays there and a test can call a task. Imports of stages are inside the
functions: a task imports its own stage and no other.
"""

from components.platform.environment import quiet_environment

# Here, because everything a task imports is imported below: no library sees the environment before.
quiet_environment()
