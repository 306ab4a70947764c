"""What a schedule may be called, and KFP's cron expressions: six fields, the first of them seconds.

KFP parses them with robfig/cron v1, which also accepts five fields and then reads the first as seconds: `0 3 * * 1`
would run every hour in January. Hence the check here, field by field, of what that parser takes; croniter takes more
(day 7, `L`, `#`, a range that wraps around). croniter says whether such a time ever comes. Times are UTC unless the
installation sets another zone (CRON_SCHEDULE_TIMEZONE of its scheduledworkflow controller).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from croniter import CroniterBadDateError, croniter

from components.errors import InputError

# A part of the pipeline's name, which in KFP's Kubernetes store is an object's name.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
# Name, lowest, highest, names of the values from the lowest on (github.com/robfig/cron v1.2.0, spec.go).
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("seconds", 0, 59, ()),
    ("minutes", 0, 59, ()),
    ("hours", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 6, _DAYS),
)
# After this long robfig/cron gives up, and the schedule never runs.
YEARS = 5
_PART = re.compile(r"(?:[*?]|(\w+)(?:-(\w+))?)(?:/(\d+))?")


def check_schedule_name(name: str | None) -> str:
    """The name; raises InputError when KFP could not take it."""
    if not name or not _NAME.fullmatch(name):
        raise InputError(f"--name {name or ''}: give up to 40 lower-case letters, digits and dashes")
    return name


def parse_cron(text: str) -> str:
    """The expression with single spaces; raises InputError naming the field that is wrong, and why."""
    fields = text.split()
    if len(fields) == 5:
        raise InputError(
            f"--cron {text!r}: five fields; Kubeflow Pipelines wants six, seconds first: --cron '0 {' '.join(fields)}'"
        )
    if len(fields) != len(_FIELDS):
        names = ", ".join(name for name, *_ in _FIELDS)
        raise InputError(f"--cron {text!r}: {len(fields)} fields instead of six ({names}), e.g. '0 0 3 * * 0'")
    for value, (name, lowest, highest, words) in zip(fields, _FIELDS, strict=True):
        for part in value.split(","):
            if not _fits(part, lowest, highest, words):
                also = f" or {words[0]}-{words[-1]}" if words else ""
                raise InputError(
                    f"--cron {text!r}: {name} {part!r}: write *, a number {lowest}-{highest}{also}, a range A-B, "
                    "a step */N or A-B/N, or several with commas"
                )
    if next_time(" ".join(fields)) is None:
        raise InputError(f"--cron {text!r}: no such date within {YEARS} years; the schedule would never run")
    return " ".join(fields)


def next_time(cron: str, after: datetime | None = None) -> datetime | None:
    """When an expression of six fields next comes true (UTC), None where that is never within YEARS."""
    try:
        found: datetime = _times(cron, after).get_next(datetime)
    except CroniterBadDateError:
        return None
    return found


def last_time(cron: str, before: datetime | None = None) -> datetime | None:
    """When an expression of six fields last came true (UTC), at `before` included; None where never within YEARS."""
    until = (before or datetime.now(UTC)) + timedelta(microseconds=1)
    try:
        found: datetime = _times(cron, until).get_prev(datetime)
    except CroniterBadDateError:
        return None
    return found


def _times(cron: str, start: datetime | None) -> croniter:
    # `?` is another `*` here, and croniter takes it only where it stands alone.
    return croniter(
        cron.replace("?", "*"), start or datetime.now(UTC), second_at_beginning=True, max_years_between_matches=YEARS
    )


def _fits(part: str, lowest: int, highest: int, words: tuple[str, ...]) -> bool:
    match = _PART.fullmatch(part)
    if match is None or (match[3] and int(match[3]) == 0):
        return False
    ends = [_number(word, lowest, words) for word in match.groups()[:2] if word is not None]
    return all(lowest <= end <= highest for end in ends) and ends == sorted(ends)


def _number(word: str, lowest: int, words: tuple[str, ...]) -> int:
    if word.isascii() and word.isdigit():
        return int(word)
    return words.index(word.upper()) + lowest if word.upper() in words else -1
