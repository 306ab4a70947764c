"""How test files are dealt to workers: what takes minutes first, so that none of it is left for one at the end."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

# Files that need one finished run (tests/pipelines/conftest.py), which each worker would make for itself.
RUNS = "a finished run"
NEED_A_RUN = tuple(f"tests/pipelines/test_{name}.py" for name in ("run", "evaluation_run", "kill"))
# Files of few tests that take minutes: xdist deals by the number of tests.
LONG = (RUNS, "tests/pipelines/test_docker_runs.py", "tests/pipelines/test_whole_runs.py")


class LongestFirst(LoadFileScheduling):
    """`loadfile`, with the files that share a run as one, and LONG before the others."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return RUNS if file in NEED_A_RUN else file

    def _assign_work_unit(self, node: WorkerController) -> None:
        if first := next((scope for scope in LONG if scope in self.workqueue), None):
            self.workqueue.move_to_end(first, last=False)
        super()._assign_work_unit(node)
