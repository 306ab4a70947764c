"""What one model is asked: each question in each setting, in one order of its options or two, once or several times."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from components.questions.items import OPENINGS, Item
from components.questions.orders import movable, other_order
from components.questions.prefills.relabelled import relabelled, reordered

Setting = Literal["plain", "adversarial_0", "adversarial_1", "adversarial_2"]
PLAIN: Final = "plain"
# With the first, second or third prefill of the question.
OPENED: tuple[Setting, ...] = ("adversarial_0", "adversarial_1", "adversarial_2")
SETTINGS: tuple[Setting, ...] = (PLAIN, *OPENED)

Key = tuple[str, str, int, str | None]  # item, setting, sample, order of the options


def opening_column(setting: str) -> str:
    """The column of the items that has the prefill of one of OPENED."""
    return OPENINGS[OPENED.index(setting)]


def told(setting: str, sample: int = 0, order: str | None = None) -> str:
    """What tells the answers to one question apart, for messages: `plain, order CABD, sample 1`."""
    return f"{setting}{f', order {order}' if order else ''}{f', sample {sample}' if sample else ''}"


@dataclass(frozen=True)
class Asking:
    """One answer to be given. `order` is None for the original order of the options, `sample` counts from 0."""

    item: Item
    setting: str
    sample: int = 0
    order: str | None = None

    @property
    def key(self) -> Key:
        return self.item.id, self.setting, self.sample, self.order

    @property
    def name(self) -> str:
        """For messages, and for the journal: what was asked once is found again by it."""
        return f"item {self.item.id} ({told(self.setting, self.sample, self.order)})"

    @property
    def prefill(self) -> str | None:
        """What opens the answer: "" when asked plainly, None where the item lacks the prefill of this setting."""
        if self.setting == PLAIN:
            return ""
        given = self.item.opening(OPENED.index(self.setting))
        return relabelled(given, self.item, self.order) if given and self.order else given

    def shown(self) -> Item:
        """The item as it is put to the model."""
        return reordered(self.item, self.order) if self.order else self.item

    def seed(self, seed: int) -> int:
        """Of a sampled answer: its own for every asking, whatever stands beside it."""
        parts = [str(seed), self.item.id, self.setting]
        parts += [str(self.sample)] if self.sample else []
        parts += [f"order {self.order}"] if self.order else []
        return int.from_bytes(hashlib.sha256("|".join(parts).encode()).digest()[:4], "big")


def askings(
    items: Sequence[Item], settings: Sequence[str], samples: int = 1, permute: bool = False, seed: int = 0
) -> list[Asking]:
    """Everything to ask, item by item; what begins alike stands together.

    With `permute` a question whose options may change places is asked in a second order too, but not in a setting
    whose prefill cannot be rewritten for it.
    """
    found: list[Asking] = []
    for item in items:
        order = other_order(item, seed) if permute else None
        for shown in (None, order) if order else (None,):
            for setting in settings:
                first = Asking(item, setting, 0, shown)
                if shown is None or first.prefill is not None:
                    found += [Asking(item, setting, sample, shown) for sample in range(samples)]
    return found


def left_out(items: Sequence[Item], settings: Sequence[str], asked: Sequence[Asking]) -> dict[str, int]:
    """How many questions have no second order, and how many prefills of the others could not be rewritten for it."""
    again = {(a.item.id, a.setting) for a in asked if a.order}
    moving = [item for item in items if movable(item)]
    opened = [setting for setting in settings if setting != PLAIN]
    kept = sum((item.id, setting) not in again for item in moving for setting in opened)
    return {"orders_fixed": len(items) - len(moving), "prefills_not_rewritten": kept}
