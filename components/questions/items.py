"""Items: one multiple-choice question each, whatever file it came from."""

from __future__ import annotations

import contextlib
import hashlib
import html
import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from typing import Any

from components.errors import InputError

SCHEMA_VERSION = 1

BENCHMARKS = (
    "MedXpertQA",
    "medqa",
    "medmcqa",
    "pubmedqa",
    "mmlu_health_biology",
    "medbullets_op4",
    "medbullets_op5",
    "hle_biomed",
    "GPQA_Medical_test",
    "Lancet",
    "NEJM",
)
REQUIRED = ("id", "question", "options", "answer_idx", "dataset_name")
OTHERS = " (`biomed-r1 ingest` reads the usual other shapes)"
QUESTION_TYPES = ("Reasoning", "Understanding")
OPENINGS = ("adversarial_trace_0", "adversarial_trace_1", "adversarial_trace_2")
SOURCE_FILE = "source_file"  # in `meta`: folder and name of the file that a training item was read from
LABEL_PROBABILITY = "label_probability"  # in `meta`: the chance with which `label-sample` drew the item
# Columns of the published zou-lab/BioMed-R1-Eval that say how an item was stratified there.
STRATUM_COLUMNS = ("reasoning_prob", "is_reasoning", "reasoning_threshold")


@dataclass(frozen=True)
class Item:
    """One question; `None` means "not made yet" (design: the columns of the published evaluation set)."""

    id: str
    question: str
    options: dict[str, str]
    answer_idx: str
    dataset_name: str
    answer: str | None = None
    context: str | None = None
    group_id: str | None = None
    question_type: str | None = None
    reasoning: str | None = None
    adversarial_trace_0: str | None = None
    adversarial_trace_1: str | None = None
    adversarial_trace_2: str | None = None
    reasoning_prob: float | None = None
    is_reasoning: bool | None = None
    reasoning_threshold: float | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    def opening(self, k: int) -> str | None:
        """The k-th adversarial opening (0, 1 or 2)."""
        value = getattr(self, OPENINGS[k])
        return value if value is None else str(value)

    def wrong_letters(self) -> list[str]:
        return [letter for letter in self.options if letter != self.answer_idx]

    def with_(self, **changes: Any) -> Item:
        return replace(self, **changes)


COLUMNS = tuple(Item.__dataclass_fields__)


def normalise(text: str) -> str:
    """Case, width, entities and punctuation folded, so that two renderings of one stem are one string.

    Signs that change a value (< > + - . between digits, %) are kept: `Na+ < 120` and `Na+ > 120` differ.
    """
    text = unicodedata.normalize("NFKC", html.unescape(text)).casefold()
    text = re.sub(r"(?<!\d)\.|\.(?!\d)", " ", text)
    return " ".join(re.sub(r"[^\w<>≤≥+\-−%./]+", " ", text).split())


def group_id(question: str, context: str | None = None) -> str:
    """Hash of the normalised stem (and context): copies of a question share it, across benchmarks."""
    text = normalise(question) + ("\n" + normalise(context) if context else "")
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def group_of(item: Item) -> str:
    return item.group_id or group_id(item.question, item.context)


def items_digest(items: Sequence[Item]) -> str:
    """sha256 of what an evaluation asks and how it is marked, in order; strata and other notes do not count."""
    digest = hashlib.sha256()
    for item in items:
        openings = [item.opening(k) for k in range(len(OPENINGS))]
        fields = [item.id, item.question, item.context, item.options, item.answer_idx, *openings]
        digest.update(json.dumps(fields, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def parse_item(row: Mapping[str, Any], where: str) -> Item:
    """An Item from one row of any of the accepted shapes.

    `where` names file and row in messages. Columns that Items do not have are kept in `meta`.
    Raises InputError naming the field.
    """
    for name in REQUIRED:
        if is_missing(row.get(name)):
            raise InputError(f"{where}: {name}: missing; every item needs {', '.join(REQUIRED)}{OTHERS}")
    options = _options(row["options"], where)
    answer_idx = str(row["answer_idx"]).strip()
    if answer_idx not in options:
        raise InputError(f"{where}: answer_idx: {answer_idx!r} is not one of the options {', '.join(options)}")
    question_type = _text(row, "question_type", where)
    if question_type is not None and question_type not in QUESTION_TYPES:
        raise InputError(f"{where}: question_type: {question_type!r} is neither {' nor '.join(QUESTION_TYPES)}")
    meta = _meta(row, where)
    _check_answer(row.get("answer"), options, answer_idx, where)
    texts = {n: _text(row, n, where) for n in ("answer", "context", "group_id", "reasoning", *OPENINGS)}
    return Item(
        id=_required_text(row, "id", where),
        question=_required_text(row, "question", where),
        options=options,
        answer_idx=answer_idx,
        dataset_name=_required_text(row, "dataset_name", where),
        question_type=question_type,
        reasoning_prob=_number(row, "reasoning_prob", where),
        is_reasoning=_flag(row, "is_reasoning", where),
        reasoning_threshold=_number(row, "reasoning_threshold", where),
        meta=meta,
        **{**texts, "answer": texts["answer"] or options[answer_idx]},  # type: ignore[arg-type]
    )


def key_twins(item: Item) -> list[str]:
    """Letters of the options with the key's own text, the key's among them; [] where it has none but its own.

    Twins among the wrong options leave no doubt about the key (MedMCQA's validation set has 17 such questions).
    """
    key = item.options[item.answer_idx]
    found = [letter for letter, text in item.options.items() if text == key]
    return found if len(found) > 1 else []


def _check_answer(value: Any, options: Mapping[str, str], answer_idx: str, where: str) -> None:
    """Raise InputError for an answer that is another option, by text or letter, than `answer_idx` says."""
    text = value.strip() if isinstance(value, str) else ""
    if text in ("", answer_idx, options[answer_idx]):
        return
    other = next((letter for letter, option in options.items() if text in (option, letter)), None)
    if other is not None:
        raise InputError(
            f"{where}: answer: {text[:80]!r} is option {other}, but answer_idx is {answer_idx}, "
            f"{options[answer_idx][:80]!r}; correct one of them"
        )


def is_missing(value: Any) -> bool:
    """Whether a cell is empty: null, or NaN, which pandas writes for it."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def item_row(item: Item) -> dict[str, Any]:
    """The row of a file for an item: `options` and `meta` as JSON text, as in the published set."""
    row = asdict(item)
    row["options"] = json.dumps(item.options, ensure_ascii=False)
    row["meta"] = json.dumps(item.meta, ensure_ascii=False, sort_keys=True)
    return row


def _options(value: Any, where: str) -> dict[str, str]:
    if isinstance(value, str):
        try:
            value = json.loads(value, object_pairs_hook=unrepeated)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: options: not a JSON object of letter to text ({error})") from None
    if not isinstance(value, Mapping) or not value:
        raise InputError(f"{where}: options: must be a non-empty object of letter to text")
    # Parquet struct columns carry every letter of the file; the ones an item lacks are null, or NaN out of pandas.
    given = {str(k).strip(): v for k, v in value.items() if not is_missing(v)}
    for letter, text in given.items():
        if not isinstance(text, str | int | float | Decimal):
            raise InputError(f"{where}: options: {letter[:20]} must be text, not {type(text).__name__}")
    options = {letter: str(text).strip() for letter, text in given.items()}
    if len(options) < 2 or not all(options.values()):
        raise InputError(f"{where}: options: needs at least two options, none of them empty")
    bad = [letter for letter in options if not re.fullmatch(r"[A-Z]", letter)]
    if bad:
        raise InputError(f"{where}: options: {bad[0]!r} is not a letter from A to Z")
    return options


def unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object's pairs as a dictionary; raises ValueError where a name is given twice (json keeps the last)."""
    letters = [letter for letter, _ in pairs]
    if len(set(letters)) != len(letters):
        raise ValueError(f"a letter is given twice among {', '.join(letters)}")
    return dict(pairs)


def _meta(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    value = {} if is_missing(row.get("meta")) else row["meta"] or {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: meta: not a JSON object ({error})") from None
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: meta: must be an object")
    extra = {k: v for k, v in row.items() if k not in COLUMNS and not is_missing(v)}
    try:
        return {str(k): _noted(v) for k, v in {**extra, **value}.items() if not isinstance(v, bytes)}
    except RecursionError:
        raise InputError(f"{where}: meta: a column's value is nested without end") from None


def _noted(value: Any) -> Any:
    """A column's value as JSON holds it: dates and decimals as text, no NaN, and no bytes (pictures)."""
    if isinstance(value, Mapping):
        return {str(name): _noted(part) for name, part in value.items() if not isinstance(part, bytes)}
    if isinstance(value, list | tuple):
        return [_noted(part) for part in value if not isinstance(part, bytes)]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def _text(row: Mapping[str, Any], name: str, where: str) -> str | None:
    value = row.get(name)
    if is_missing(value) or value == "":
        return None
    if not isinstance(value, str):
        raise InputError(f"{where}: {name}: must be text, not {type(value).__name__}")
    return value


def _required_text(row: Mapping[str, Any], name: str, where: str) -> str:
    value = row[name]
    text = value if isinstance(value, str) else str(value) if isinstance(value, int) else ""
    if not text.strip():
        raise InputError(f"{where}: {name}: must be non-empty text")
    return text.strip() if name != "question" else text


def _number(row: Mapping[str, Any], name: str, where: str) -> float | None:
    value = row.get(name)
    if is_missing(value):
        return None
    if isinstance(value, str) and re.fullmatch(r"\s*[\d.eE+-]{1,40}\s*", value):  # a cell of a CSV file
        with contextlib.suppress(ValueError):
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"{where}: {name}: must be a number from 0 to 1, not {str(value)[:80]!r}")
    return float(value)


def _flag(row: Mapping[str, Any], name: str, where: str) -> bool | None:
    value = row.get(name)
    if is_missing(value):
        return None
    if isinstance(value, str):  # a cell of a CSV file
        value = {"true": True, "false": False}.get(value.strip().casefold(), value)
    if not isinstance(value, bool):
        raise InputError(f"{where}: {name}: must be true or false, not {str(value)[:80]!r}")
    return value
