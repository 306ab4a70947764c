"""What a deployment needs of the place that serves: two colours, one of which users reach.

Every function may be called again after a kill and has the same end. They raise StageError and InputError.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from components.serving.deploy.status import Colour, Fault
from components.serving.pointer import Served


@dataclass(frozen=True)
class Progress:
    """How far a colour is; `stopped` once nothing of it runs or ends any more.

    `unschedulable`: there is no room for it beside the other.
    """

    state: Literal["stopped", "waiting", "ready", "failed"]
    text: str = ""
    fault: Fault = "place"
    unschedulable: bool = False


class Target(Protocol):
    """A place that serves; `name` is part of the status object's address."""

    name: str

    def lock(self, by: str) -> AbstractContextManager[None]:
        """Held while one deployer works here; raises ConflictError, naming the holder, where another does."""
        ...

    def live(self) -> Colour | None:
        """The colour that users reach, None where nothing serves yet."""
        ...

    def held(self, colour: Colour) -> str:
        """The URI of the weights that a colour runs or is told to run, "" when it is stopped."""
        ...

    def current(self, colour: Colour, what: Served) -> bool:
        """Whether a colour runs these weights the way that they would be started now."""
        ...

    def apply(self, colour: Colour, what: Served) -> None:
        """Have a colour run these weights; nothing happens when it does so already."""
        ...

    def progress(self, colour: Colour) -> Progress: ...

    def address(self, colour: Colour) -> str:
        """The base URL of one colour, for the smoke test."""
        ...

    def switch(self, colour: Colour) -> None:
        """Send users to this colour from now on; `live` says when that has happened."""
        ...

    def trouble(self, colour: Colour) -> str:
        """What is wrong with the colour that users reach, "" when nothing is."""
        ...

    def open(self, colour: Colour) -> int:
        """Requests that a colour still answers; 0 where that is seen to by the place itself when it is stopped."""
        ...

    def stop(self, colour: Colour) -> None:
        """Have a colour run nothing; what it is answering is answered. Returns at once or when it is done."""
        ...

    def pause(self, colour: Colour, seconds: float) -> None:
        """Wait until something about a colour may have changed, `seconds` at most."""
        ...


def other(colour: Colour) -> Colour:
    return "green" if colour == "blue" else "blue"
