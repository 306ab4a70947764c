"""The usual shapes of question sets, as data: what they call the question, the options and the key.

A row of any of them becomes a row of Item's own columns (`canonical`), which `items.parse_item` checks. What a row
alone cannot tell, whether its indexes count from 0 or from 1, is told by the whole file (`survey`), and refused where
the file does not tell it either. docs/question-formats.md has an example of each shape.

To know one more name, add it to a table here. Names are compared folded: `Correct Option` is `correct_option`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.errors import InputError
from components.questions.items import COLUMNS, REQUIRED, is_missing
from components.questions.option_values import (
    LETTERS,
    Option,
    Reading,
    folded,
    named,
    number_of,
    options_of,
    readings,
    with_signs,
)

# Item's column: what others call it, in order of precedence.
NAMES = {
    "question": ("question", "qtext", "question_text", "stem", "query", "sent1", "prompt", "problem", "input"),
    "id": ("id", "qid", "question_id", "pubid", "pmid", "uid", "uuid", "sample_id"),
    "context": ("context", "contexts", "passage", "abstract"),
    "dataset_name": ("dataset_name",),
}
# One column with all options: an object of label to text, a list of texts, a list of pairs, or an object of two lists.
OPTION_COLUMNS = ("options", "choices", "answer_options", "answer_choices", "answers", "endings", "candidates")
# One column for each option: what stands before the letter (a, b, …) or the number (from 1, or from 0).
FAMILIES = ("op", "option_", "option", "opt_", "opt", "choice_", "choice", "answer_", "answer", "ending_", "ending", "")
# Sets whose options are the same in every row, by the key's column: PubMedQA.
FIXED = {"final_decision": ("yes", "no", "maybe")}
# The key. These hold a label or an index, whatever the options' texts are.
EXPLICIT_KEYS = (
    *("answer_idx", "answer_index", "cop", "ra", "answerkey", "answer_key", "correct_option", "correct_index"),
    *("correct_idx", "correct_answer_idx", "answer_letter", "correct_letter", "final_decision"),
)
# These hold an option's text in some sets.
OPEN_KEYS = ("correct_answer", "right_answer", "correct_choice", "correct", "answer", "gold", "label", "target")
# Where indexes of a list count from: 0, as in every published set. A column for each option has no such custom:
# MedMCQA's `cop` counts from 1 in its own files and from 0 on the hub.
LIST_BASE = 0

BASE = "index_base"
MAPPED = (*(name for name in COLUMNS if name != "meta"), BASE)
ADVICE = "say which column it is with --map (docs/question-formats.md)"


@dataclass(frozen=True)
class Layout:
    """Which columns of a row hold what: `names` from Item's column to the row's, `options` all that hold options."""

    names: Mapping[str, str]
    options: tuple[str, ...]


@dataclass
class Survey:
    """What only all rows of a file tell: its columns, what its keys are, and where its indexes count from."""

    stem: str
    mapping: Mapping[str, str] = field(default_factory=dict)
    columns: set[str] = field(default_factory=set)
    keys: set[Reading] = field(default_factory=set)  # of the rows whose key has one reading
    zero: int | None = None  # a row whose index is 0
    last: int | None = None  # a row whose index is the number of its options


def parse_mapping(text: str) -> dict[str, str]:
    """`question=stem,options=opa+opb,answer_idx=key` as a dictionary; raises InputError for anything else."""
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not name or not column:
            raise InputError(f"mapping: {part}: write FIELD=COLUMN, for example question=stem,answer_idx=key")
        if name in found:
            raise InputError(f"mapping: {part}: {name} is mapped twice")
        found[name] = column
    return check_mapping(found)


def check_mapping(mapping: Mapping[str, str]) -> dict[str, str]:
    """The same mapping; raises InputError for a field that no Item has."""
    for name, column in mapping.items():
        if name not in MAPPED:
            raise InputError(f"mapping: {name}={column}: {name} is none of {', '.join(MAPPED)}")
    if mapping.get(BASE, "0") not in ("0", "1"):
        raise InputError(f"mapping: {BASE}={mapping[BASE]}: must be 0 or 1, where the key's indexes count from")
    return dict(mapping)


def has_question(row: Mapping[str, Any]) -> bool:
    """Whether an object looks like one question rather than a container of them."""
    name = _known(row, NAMES["question"])
    return name is not None and isinstance(row[name], str)


def is_canonical(row: Mapping[str, Any]) -> bool:
    """Whether a row has Item's own form, so that nothing about it is to be found out."""
    if any(row.get(name) is None for name in REQUIRED) or not isinstance(row["answer_idx"], str):
        return False
    options = row["options"]
    if isinstance(options, str):
        return options.lstrip()[:1] != "["
    return isinstance(options, Mapping) and all(re.fullmatch(r"\s*[A-Z]\s*", str(label)) for label in options)


def survey(rows: Iterable[Mapping[str, Any]], stem: str, mapping: Mapping[str, str], where: str) -> Survey:
    """Read a file's rows once for what they tell together. `stem` names the set where no column does.

    Raises InputError where `mapping` names a column that no row has. For a file of Item's own columns that has none of
    them it is not meant: the mapping of a recipe is for each of its sources.
    """
    made = Survey(stem, mapping)
    for number, row in enumerate(rows, start=1):
        lifted = _lifted(row, mapping)
        made.columns |= lifted.keys()
        if mapping or not is_canonical(row):
            _note_key(made, lifted, number)
    wanted = [c for name, value in mapping.items() if name != BASE for c in _split(value, made.columns)]
    missing = [column for column in wanted if column not in made.columns]
    if len(missing) == len(wanted) and made.columns.issuperset(REQUIRED):
        made.mapping = {}
    elif missing and made.columns:
        raise InputError(f"{where}: {missing[0]}: no column for --map; there are {_listed(made.columns)}")
    return made


def canonical(row: Mapping[str, Any], number: int, about: Survey, where: str) -> dict[str, Any]:
    """The row with Item's own columns in the place of those of its shape; all others stay as they are.

    Raises InputError naming the column, for parts that are missing, contradict each other or have two readings.
    """
    if not about.mapping and is_canonical(row):
        return dict(row)
    row = _lifted(row, about.mapping)
    layout = _layout(row, about.mapping, where)
    options = _options(row, layout, where)
    key = _key(row, layout, options, about, where)
    used = {*layout.names.values(), *layout.options}
    made = {name: value for name, value in row.items() if name not in used}
    made |= {name: row[column] for name, column in layout.names.items() if name != "answer_idx"}
    if "context" in made:
        made["context"] = _joined(made["context"])
    letters = _letters(options, where)
    made["options"] = {letter: option.text for letter, option in zip(letters, options, strict=True)}
    made["answer_idx"] = letters[key]
    # A text of its own stays; what only names the option again is made from the option.
    if "answer" in made and (named(made["answer"], options) or not isinstance(made["answer"], str)):
        del made["answer"]
    for name, value in (("id", f"{about.stem}-{number}"), ("dataset_name", about.stem)):
        if name not in layout.names and name not in about.columns:
            made[name] = value
    return made


def described(row: Mapping[str, Any], about: Survey) -> str:
    """How a row that was read is read, as a mapping that says the same ("" for Item's own form): for a receipt."""
    if not about.mapping and is_canonical(row):
        return ""
    row = _lifted(row, about.mapping)
    # With the columns of all rows first: one with three options may stand first in a file of five.
    for whole in ({**dict.fromkeys(sorted(about.columns)), **row}, row):
        try:
            return _described(whole, about)
        except InputError:  # columns of rows that have another shape
            continue
    return ""


def _described(row: Mapping[str, Any], about: Survey) -> str:
    layout = _layout(row, about.mapping, "")
    names = dict(layout.names)
    parts = {"question": names.pop("question"), "options": "+".join(layout.options)} | names
    options, value = _options(row, layout, ""), row[layout.names["answer_idx"]]
    if number_of(value) is not None and not named(value, options):
        parts[BASE] = str(_base(about, options, "", ""))
    return ",".join(f"{name}={column}" for name, column in parts.items() if column)


def _lifted(row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    """The row with a question that lies one object deeper brought up (`data`, ARC's `question`), and what a mapping
    names by a path such as `data.Question`."""
    made = dict(row)
    for column in (c for value in mapping.values() for c in _split(value, made)):
        value: Any = made
        for part in column.split(".") if column not in made and "." in column else ():
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not made and value is not None:
            made[column] = value
    if mapping.get("question") in made:
        return made
    inner = [name for name, value in row.items() if isinstance(value, Mapping) and has_question(value)]
    if len(inner) == 1 and not has_question(row):
        deeper = made.pop(inner[0])
        made |= deeper
    return made


def _layout(row: Mapping[str, Any], mapping: Mapping[str, str], where: str) -> Layout:
    names = {name: value for name, value in mapping.items() if name not in (BASE, "options")}
    for name, known in NAMES.items():
        column = _known(row, known)
        if column is not None and name not in names:
            names[name] = column
    key = names.get("answer_idx") or _known(row, EXPLICIT_KEYS) or _known(row, OPEN_KEYS)
    options = _split(mapping["options"], row) if "options" in mapping else _option_columns(row)
    for name, found in (("question", names.get("question")), ("options", options or None), ("answer_idx", key)):
        if found is None and not (name == "options" and key is not None and folded(key) in FIXED):
            raise InputError(f"{where}: {name}: missing; the columns are {_listed(row)}; {ADVICE}")
    assert key is not None
    for name, column in {**names, "answer_idx": key}.items():
        if row.get(column) is None and name in REQUIRED:
            raise InputError(f"{where}: {name}: missing; column {column!r} is empty here")
    return Layout({**{n: c for n, c in names.items() if row.get(c) is not None}, "answer_idx": key}, options)


def _option_columns(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The column that holds all options, or those that hold one each; () for none."""
    for name in OPTION_COLUMNS:
        column = _known(row, (name,))
        if column is not None and _is_list_of_options(row[column]):
            return (column,)
    columns = {folded(name): name for name in reversed(list(row))}
    for before in FAMILIES:
        for signs in (LETTERS.lower(), [str(n) for n in range(1, 27)], [str(n) for n in range(26)]):
            found: list[str] = []
            for sign in signs:
                if f"{before}{sign}" not in columns:
                    break
                found.append(columns[f"{before}{sign}"])
            if len(found) > 1:
                return tuple(found)
    return ()


def _is_list_of_options(value: Any) -> bool:
    return isinstance(value, Mapping | list) or (isinstance(value, str) and value.lstrip()[:1] in ("{", "["))


def _options(row: Mapping[str, Any], layout: Layout, where: str) -> list[Option]:
    """The options in order, without empty ones at the end."""
    if not layout.options:
        made = [Option((text,), text) for text in FIXED[folded(layout.names["answer_idx"])]]
    elif len(layout.options) > 1:
        names = [folded(name) for name in layout.options]
        made = [Option(labels, row.get(n)) for labels, n in zip(with_signs(names), layout.options, strict=True)]
    else:
        made = options_of(row[layout.options[0]], f"{where}: {layout.options[0]}")
    while made and is_missing(made[-1].text):
        made.pop()
    if not 2 <= len(made) <= len(LETTERS):
        raise InputError(f"{where}: options: holds {len(made)}; a question needs 2 to {len(LETTERS)}")
    return made


def _letters(options: Sequence[Option], where: str) -> list[str]:
    """The options' own letters where all have one, else A, B, … in order."""
    own = [option.labels[-1].upper() for option in options if option.labels]
    if len(own) == len(options) and all(re.fullmatch("[A-Z]", letter) for letter in own):
        if len(set(own)) < len(own):
            raise InputError(f"{where}: options: a letter is given twice among {', '.join(own)}")
        return own
    return list(LETTERS[: len(options)])


def _key(row: Mapping[str, Any], layout: Layout, options: list[Option], about: Survey, where: str) -> int:
    """The place of the right option. Every other column that names an option must name the same."""
    column = layout.names["answer_idx"]
    key = _place(row[column], column, options, about, where)
    for name in row:
        if name == column or folded(name) not in (*EXPLICIT_KEYS, "answer", "correct_answer"):
            continue
        others = named(row[name], options)
        if others and key not in others:
            letters = _letters(options, where)
            raise InputError(
                f"{where}: {name}: {str(row[name])[:80]!r} is option {letters[others[0]]}, but {column} is "
                f"{str(row[column])[:80]!r}, option {letters[key]}; correct one of them"
            )
    return key


def _place(value: Any, column: str, options: list[Option], about: Survey, where: str) -> int:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool | list | Mapping | bytes) or is_missing(value):
        raise InputError(f"{where}: {column}: {str(value)[:80]!r} names no option; give one letter, index or text")
    found = readings(value, options, _is_index(column, about))
    if len(found) > 1 and len(found.keys() & about.keys) == 1:  # the file's other keys tell
        found = {reading: places for reading, places in found.items() if reading in about.keys}
    if not found:
        raise InputError(
            f"{where}: {column}: {str(value)[:80]!r} is no letter, label or text of the {len(options)} options"
        )
    if len(found) > 1 and len({*map(tuple, found.values())}) > 1:
        raise InputError(
            f"{where}: {column}: {value!r} may be {' or '.join(f'the {reading}' for reading in found)} of an option, "
            f"which are two; write the letter, or say --map {BASE}=0 or --map {BASE}=1 where it is an index"
        )
    reading, places = next(iter(found.items()))
    if len(places) > 1:
        raise InputError(f"{where}: {column}: {value!r} names {len(places)} options; write the letter")
    if reading != "index":
        return places[0]
    base = _base(about, options, where, column)
    if not 0 <= places[0] - base < len(options):
        raise InputError(
            f"{where}: {column}: {places[0]} is no index of {len(options)} options that count from {base}; "
            "a question without its key cannot be marked"
        )
    return places[0] - base


def _is_index(column: str, about: Survey) -> bool:
    return folded(column) in EXPLICIT_KEYS or BASE in about.mapping


def _base(about: Survey, options: Sequence[Option], where: str, column: str) -> int:
    """Where indexes count from. Raises InputError where that is not to be told, or rows contradict each other."""
    if BASE in about.mapping:
        return int(about.mapping[BASE])
    say = f"say --map {BASE}=0 or --map {BASE}=1"
    if about.zero is not None and about.last is not None:
        raise InputError(
            f"{where}: {column}: counts from 0 in row {about.zero} and from 1 in row {about.last} of this file; "
            f"correct one, or {say}"
        )
    if about.zero is None and about.last is None and options[0].labels:
        raise InputError(f"{where}: {column}: may count from 0 or from 1, and no row of the file tells which; {say}")
    return 1 if about.last is not None else LIST_BASE


def _note_key(about: Survey, row: Mapping[str, Any], number: int) -> None:
    """Keep what a row's key is, and the first rows that show where indexes count from."""
    try:
        layout = _layout(row, about.mapping, "")
        options = _options(row, layout, "")
    except InputError:
        return  # told when the row is read
    column = layout.names["answer_idx"]
    found = readings(row[column], options, _is_index(column, about))
    if len(found) != 1:
        return
    ((reading, places),) = found.items()
    about.keys.add(reading)
    if reading == "index" and places[0] == 0 and about.zero is None:
        about.zero = number
    if reading == "index" and places[0] == len(options) and about.last is None:
        about.last = number


def _joined(value: Any) -> Any:
    """A context's paragraphs as one text; PubMedQA on the hub has them in an object, with their labels."""
    if isinstance(value, Mapping):
        value = value.get("contexts", value)
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "\n".join(value)
    return value


def _known(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The row's column that is the first of `names`, as it is or folded; empty ones only where no other is there."""
    columns: dict[str, str] = {}
    for column in row:
        if row[column] is not None:
            columns.setdefault(folded(column), column)
    for name in names:
        if row.get(name) is not None:
            return name
        if name in columns:
            return columns[name]
    return next((name for name in names if name in row), None)


def _split(value: str, columns: Iterable[str]) -> tuple[str, ...]:
    """`opa+opb` as columns; a column whose own name holds a plus is one."""
    return (value,) if value in columns else tuple(part.strip() for part in value.split("+"))


def _listed(columns: Iterable[str]) -> str:
    names = sorted(map(str, columns))
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
