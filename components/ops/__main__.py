"""A task's process: `python -m components.ops kfp.dsl.executor_main MODULE ...`, with KFP's arguments behind.

Runs KFP's executor on a function of this package's MODULE, as KFP runs it on the text of a component.
"""

import os
import runpy
import sys
from pathlib import Path

# Before kfp is imported: then it brings no compiler and no client, which take seconds to import.
os.environ["_KFP_RUNTIME"] = "true"

if __name__ == "__main__":
    executor, module, *arguments = sys.argv[1:]
    sys.argv = [executor, "--component_module_path", str(Path(__file__).with_name(f"{module}.py")), *arguments]
    runpy.run_module(executor, run_name="__main__")
