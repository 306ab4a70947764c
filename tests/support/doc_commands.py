"""The commands that a page shows, from its `sh` blocks; the words after `sh` say what a block needs."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = ("biomed-r1", ".venv/bin/biomed-r1")
_BLOCK = re.compile(r"^```sh([^\n]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SETTING = re.compile(r"[A-Z_][A-Z0-9_]*=")


@dataclass(frozen=True)
class Command:
    """One line of a block. `needs`: cluster, slow or data; "" for what runs on any machine in seconds."""

    page: str
    needs: str
    line: str

    def __str__(self) -> str:
        return f"{self.page}: {self.line}"

    @property
    def words(self) -> list[str]:
        """The line's words, without comments and without variables set before the program."""
        words = shlex.split(self.line, comments=True)
        while words and _SETTING.match(words[0]) and len(words) > 1:
            words = words[1:]
        return words

    @property
    def ours(self) -> list[str] | None:
        """The arguments of `biomed-r1`, where this is a command of ours."""
        words = self.words
        return words[1:] if words and words[0] in OURS else None


def commands(page: str) -> list[Command]:
    """Every command of a page of the repository, continued lines joined."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Command(page, needs.strip(), line)
        for needs, block in _BLOCK.findall(text)
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip() and not line.strip().startswith("#")
    ]
