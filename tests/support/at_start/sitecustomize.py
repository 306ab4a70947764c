"""Python imports a module of this name at its start. First on PYTHONPATH, it patches the processes of torchrun, and
has the tasks of a run start in an interpreter that has imported what they need (tests/support/interpreters.py)."""

import os
import sys

if "RANK" in os.environ:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import fsdp_on_cpu

    fsdp_on_cpu.patch()
elif sys.orig_argv[1:3] == ["-m", "components.ops"] and (path := os.environ.get("BIOMED_R1_TEST_INTERPRETERS")):
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    import interpreters

    if (code := interpreters.ask(path)) is not None:
        os._exit(code)
