"""Hypothesis strategies for rows of question and answer files, and for command lines from the verbs' own options.

A command line runs in this process, through click's isolated streams, with every server out of reach and too little
disk for a run: it may be refused, fail or do its small work, and never end in a traceback.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import in_process
from hypothesis import strategies as st
from in_process import Ended

from pipelines.cli import main as program

Row = dict[str, Any]
ROW: Row = {
    "id": "q1",
    "question": "Which ion is low?",
    "options": {"A": "sodium", "B": "potassium"},
    "answer_idx": "B",
    "dataset_name": "medqa",
    "is_reasoning": True,
}
ANSWER: Row = {"item_id": "q1", "model": "m", "setting": "plain", "output": "The answer is B.", "prompt": "direct:1"}
# Columns of the usual shapes, besides Item's own.
COLUMNS = ("opa", "opb", "cop", "ending0", "choices", "answer", "label", "A", "B", "subject_name", "exp", "correct")
TEXTS = st.sampled_from(
    ["", " ", "A", "B.", "(c)", "nan", "0", "-1", "1e999", "{", "[]", '{"A": "x"}', "医学試験@k=1", "a,b", "\ufeff",
     "'", '"', "%s", "\x00", "x" * 2000, "\ud800", "sodium", "true"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | TEXTS | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS | st.sampled_from("ABCD"), inner, max_size=4),
    max_leaves=6,
)


@st.composite
def rows(draw: st.DrawFn, model: Row = ROW) -> Row:
    """A row of `model` with up to three fields changed, taken away or added; one in eight is of anything at all."""
    names = st.sampled_from([*model, *COLUMNS])
    if draw(st.integers(0, 7)) == 0:
        return draw(st.dictionaries(names | TEXTS, VALUES, max_size=6))
    row = {**model, next(iter(model)): draw(st.sampled_from(["q1", "q2", "q3"]))}
    for name in draw(st.lists(names, max_size=3)):
        if draw(st.booleans()):
            row[name] = draw(VALUES)
        else:
            row.pop(name, None)
    return row


def text_of(rows_: list[Row]) -> bytes:
    """Rows as JSONL, with what JSON itself does not allow (NaN, lone surrogates) as Python writes it."""
    return "".join(json.dumps(row) + "\n" for row in rows_).encode()


# --- command lines ---------------------------------------------------------------------------------------------------

FILES = ["items.jsonl", "answers.jsonl", "rubbish.jsonl", "empty.json", "recipe.yaml", "folder", "missing.jsonl", "out"]
WORDS = [
    *FILES, "", "-", "smoke", "paper-models", "kind", "local", "nowhere", "m", "a,b", "seed=1", "seed", "=", "a.b.c=[",
    "x: [", "package:nothing", "hf:org/name", "hf:org/name@" + "0" * 40, "registry:x@champion", "openai:gpt", "s3://",
    "s3://bucket/x", "http://127.0.0.1:9/v1", "not a url", "plain", "adversarial", "sft=out", "0", "-1", "1e9", "nan",
    "医学試験@k=1", "\udcff", "Anna's run", "0 3 * * *", "../up", "/proc/self/nothing", "x" * 300,
]  # fmt: skip
# Verbs that would train for minutes where everything fits; their values here never do.
OUT_OF_REACH = {
    "BIOMED_R1_STORE": "s3://bucket/none",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_MAX_ATTEMPTS": "1",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "KF_PIPELINES_ENDPOINT": "http://127.0.0.1:9",
    "HF_ENDPOINT": "http://127.0.0.1:9",
    "BIOMED_R1_NEEDED_DISK_BYTES": str(10**18),
}


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A verb with a few of its options; most values are of the option's kind, the others are not."""
    verb = draw(st.sampled_from([*program.VERBS, *program.VERBS, "nonsense", ""]))
    if verb not in program.VERBS:
        return [verb, *draw(st.lists(st.sampled_from(["--help", "-x", "--json", *WORDS]), max_size=3))]
    command = program.cli.get_command(click.Context(program.cli), verb)
    assert command is not None
    line = [verb]
    for option in command.params:
        # Most required options, a few of the others: what is refused at once says little about the rest.
        if draw(st.integers(0, 9)) > (8 if option.required else 1):
            continue
        if isinstance(option, click.Argument):
            line += [draw(st.sampled_from(WORDS))]
        elif option.name != "help":
            assert isinstance(option, click.Option)
            line += [draw(st.sampled_from(option.opts)), *([] if option.is_flag else [draw(_value(option))])]
    if verb == "stratify":
        line += ["--classifier", "missing.jsonl"]  # without one it trains the default classifier, for minutes
    if draw(st.integers(0, 9)) == 0:
        line += [draw(st.sampled_from(["--help", "--nonsense", "stray"]))]
    return line


def _value(option: click.Option) -> st.SearchStrategy[str]:
    if isinstance(option.type, click.Choice):
        fitting: st.SearchStrategy[str] = st.sampled_from([str(choice) for choice in option.type.choices])
    elif isinstance(option.type, click.types.IntParamType | click.types.FloatParamType):
        fitting = st.integers(-2, 5).map(str)
    elif option.name in ("items", "data", "questions"):
        fitting = st.just("items.jsonl")
    elif option.name == "answers":
        fitting = st.just("answers.jsonl")
    elif option.name == "out":
        fitting = st.sampled_from(["out", "new/out.json"])
    else:
        fitting = st.sampled_from(WORDS)
    return st.one_of(fitting, fitting, st.sampled_from(WORDS))


def lay_out(folder: Path) -> None:
    """The files that WORDS names."""
    (folder / "folder").mkdir(parents=True)
    items = [{**ROW, "id": f"q{n}", "is_reasoning": n % 2 == 0} for n in range(6)]
    answers = [{**ANSWER, "item_id": f"q{n}"} for n in range(6)]
    (folder / "items.jsonl").write_bytes(text_of(items))
    (folder / "answers.jsonl").write_bytes(text_of(answers))
    (folder / "rubbish.jsonl").write_bytes(b'\xff\xfe{"id"\n\n\x00')
    (folder / "empty.json").write_text("")
    (folder / "recipe.yaml").write_text("name: x\nmodels: [{name: 1}]\n")


def ended(line: list[str], folder: Path) -> Ended:
    """Run `biomed-r1 LINE` in `folder` with every server out of reach."""
    homes = {"BIOMED_R1_HOME": str(folder / "home"), "HF_HOME": str(folder / "hf")}
    return in_process.ended(line, folder, {**OUT_OF_REACH, **homes})
