"""What the nodes of a training agree on while a checkpoint is stored or fetched: each has a disk of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from components.platform.storage.parts import Parts

T = TypeVar("T")
LONGEST = timedelta(hours=6)  # that one node waits for another's upload


class Nodes(Parts):
    """The nodes of a process group; to be made by all of its processes at once.

    One process of each node, the leader, moves its files, and only leaders call `each`. They talk in a gloo group of
    their own, since they do so in a thread while the GPUs go on.
    """

    def __init__(self) -> None:
        from torch import distributed

        here, processes = distributed.get_rank(), int(os.environ["LOCAL_WORLD_SIZE"])
        leaders = list(range(0, distributed.get_world_size(), processes))
        self._group = distributed.new_group(leaders, backend="gloo", timeout=LONGEST)
        self._count = len(leaders)
        self.number = here // processes

    def each(self, do: Callable[[], T]) -> list[T]:
        from torch import distributed

        mine: tuple[T | None, Exception | None]
        try:
            mine = do(), None
        except Exception as error:
            mine = None, error
        told: list[Any] = [None] * self._count
        distributed.all_gather_object(told, mine, group=self._group)
        for _, problem in told:
            if problem is not None:
                raise problem
        return [value for value, _ in told]


def leads() -> bool:
    """Whether this process is the one of its node that moves files."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def parts_of_nodes() -> Parts:
    """The nodes of this training, as torchrun's environment says; one knows of no others."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return Nodes() if several and "LOCAL_WORLD_SIZE" in os.environ else Parts()
