"""Words for errors: what a misspelt name may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What follows an unknown name in an error: `near`, else the known names, else nothing."""
    names = list(known)
    return near(name, names) or (f"; known are {', '.join(names)}" if names else "")


def near(name: str, known: Iterable[str]) -> str:
    """`; did you mean sft?` where a known name is near, else an empty text."""
    found = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(found)}?" if found else ""
