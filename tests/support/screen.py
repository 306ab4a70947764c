"""What a person sees of a terminal: a command started on a real one of some width, and its output put on a screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import unicodedata
from collections.abc import Mapping, Sequence

_TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b[@-Z\\-_]|(.)", re.DOTALL)


class Screen:
    """The rows of a terminal that keeps all it has scrolled away; a text longer than a row goes on in the next one."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows: list[list[str]] = [[]]
        self._row = self._column = 0

    def feed(self, text: str) -> Screen:
        for number, letter, char in (match.groups(default="") for match in _TOKEN.finditer(text)):
            if letter == "A":
                self._row = max(0, self._row - int(number or 1))
            elif letter == "K":
                start = 0 if number == "2" else self._column
                self.rows[self._row] = self.rows[self._row][:start]
            elif char == "\r":
                self._column = 0
            elif char == "\n":
                self._down()
            elif char and char.isprintable():
                self._put(char)
        return self

    @property
    def lines(self) -> list[str]:
        """The rows as text, without those that are empty."""
        return [text for row in self.rows if (text := "".join(row).rstrip())]

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self.rows):
            self.rows.append([])

    def _put(self, char: str) -> None:
        cells = 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if self._column + cells > self.columns:
            self._down()
            self._column = 0
        row = self.rows[self._row]
        row.extend(" " * (self._column + cells - len(row)))
        row[self._column : self._column + cells] = [char, *[""] * (cells - 1)]
        self._column += cells


def shown(
    command: Sequence[str], columns: int, environment: Mapping[str, str], cwd: str | None = None, timeout: float = 120
) -> tuple[int, Screen, str]:
    """Run a command on a terminal so wide; returns its exit code, the screen, and all that was sent to it."""
    terminal, screen = pty.openpty()
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    clean = {k: v for k, v in environment.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
    process = subprocess.Popen(
        list(command), stdin=screen, stdout=screen, stderr=screen, env={**clean, "TERM": "xterm"}, cwd=cwd
    )
    os.close(screen)
    parts: list[bytes] = []
    reader = threading.Thread(target=_read, args=(terminal, parts))
    reader.start()
    try:
        code = process.wait(timeout)
    finally:
        process.kill()
        reader.join(5)  # a server that outlives the command may hold the terminal
    text = b"".join(parts).decode(errors="replace")
    return code, Screen(columns).feed(text), text


def _read(terminal: int, parts: list[bytes]) -> None:
    while True:
        try:
            part = os.read(terminal, 1 << 16)
        except OSError:
            return
        if not part:
            return
        parts.append(part)
