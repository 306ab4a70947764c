"""`biomed-r1 evaluate`, `score`, `compare`, `report`: from a model's answers to a decision and a page."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.options import (
    ANY,
    FILE,
    FOLDER,
    GivenConfig,
    Named,
    Place,
    config_options,
    folder_of,
    json_option,
    replaces_its_own,
)

if TYPE_CHECKING:
    from components.stages.evaluate import EvaluateConfig

_items = click.option("--items", required=True, type=FILE, help="The questions (Parquet or JSONL).")
_answers = click.option("--answers", required=True, multiple=True, type=FILE, help="A file of answers (repeatable).")


@click.command("evaluate")
@click.option("--model", required=True, help="Model reference.")
@_items
@click.option("--out", required=True, type=FOLDER, help="Folder for answers, scores and report.")
@click.option("--name", help="What to call the model in the answers [default: the reference].")
@click.option(
    "--settings",
    help="Comma-separated, of plain, adversarial (all three prefills), adversarial_0, _1 and _2 [default: all].",
)
@click.option("--engine", type=click.Choice(["auto", "vllm", "transformers", "openai"]), help="[default: auto]")
@click.option("--base-url", help="Endpoint of an openai:NAME model.")
@click.option(
    "--chat-template",
    type=Named(exists=True, dir_okay=False, path_type=Path),
    help="File with a Jinja chat template, for a base model that has none.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Ask a seeded sample of this many questions.")
@click.option("--examples", type=click.IntRange(min=0), help="Questions the report quotes; 0: none of their text.")
@json_option
@config_options
@replaces_its_own(
    folder_of("answers.parquet", "scores.json", "report.html", "report.md"),
    first=lambda out, given: _check_asked(out, given),
)
def evaluate_command(
    model: str,
    items: Path,
    out: Path,
    name: str | None,
    settings: str | None,
    engine: str | None,
    base_url: str | None,
    chat_template: Path | None,
    limit: int | None,
    examples: int | None,
    json_file: Path | None,
    config: GivenConfig,
) -> None:
    """Ask a model every question, plainly and after adversarial prefills."""
    from components.platform.config import write_json
    from components.platform.screen.tables import Screen, columns
    from components.platform.storage.journal import forget
    from components.report.files import write_evaluation
    from components.stages.evaluate import evaluate

    given: dict[str, Any] = {"config": config, "settings": settings, "engine": engine, "limit": limit}
    given |= {"base_url": base_url, "chat_template": chat_template}
    answers = out / "answers.parquet"
    journal = answers.with_name("answers.journal")
    asked = _asked(given)
    answers.parent.mkdir(parents=True, exist_ok=True)
    evidence = evaluate(items, model, name or model, asked, answers, str(journal))
    write_evaluation(items, answers, examples)
    write_json(json_file, evidence)
    forget(str(journal))  # last: killed or failed before, the same command asks nothing again
    counts = ("correct", "n", "no_answer", "truncated", "too_long")
    names = ("right", "asked", "accuracy", "no answer", "cut off", "too long")
    rows = [
        (
            setting,
            *(str(cell[key]) for key in counts[:2]),
            f"{cell['accuracy']:.1%}",
            *(str(cell[k]) for k in counts[2:]),
        )
        for setting, cell in evidence["settings"].items()
    ]
    Screen().table("", columns("setting", *names, figures=names), rows)
    Screen().say(
        f"{evidence['output_tokens']} tokens in {evidence['seconds']['generation']:.0f} s with {evidence['engine']}; "
        f"answers.parquet, scores.json and report.html in {out}"
    )


def _asked(given: Mapping[str, Any]) -> EvaluateConfig:
    """The stage's config, with the options that have a name of their own put over it."""
    from components.platform.config import parse_config
    from components.stages.evaluate import EvaluateConfig

    named = {name: given[name] for name in ("settings", "engine", "limit", "base_url") if given[name]}
    if "settings" in named:
        named["settings"] = tuple(named["settings"].split(","))
    if given["chat_template"] is not None:
        named["chat_template"] = given["chat_template"].read_text(encoding="utf-8")
    return parse_config(EvaluateConfig, {**given["config"].parse(EvaluateConfig).model_dump(), **named}, "evaluate")


def _check_asked(out: Path, given: Mapping[str, Any]) -> None:
    _asked(given)
    _refuse_others(out / "answers.parquet", given["name"] or given["model"])


def _refuse_others(answers: Path, model: str) -> None:
    """Raise InputError where the file has another model's answers: they took time to make."""
    from components.errors import InputError
    from components.platform.tables import iterate_rows

    if answers.is_file() and (others := {str(row.get("model")) for row in iterate_rows(answers)} - {model}):
        raise InputError(
            f"{answers}: has answers of {', '.join(sorted(others))}; give another --out, or delete the file first"
        )


@click.command("score")
@_items
@_answers
@click.option("--out", type=FILE, help="scores.json to write; required, except with --explain.")
@click.option("--explain", metavar="ITEM_ID", help="Print how each answer to this item is read, and why; no scores.")
@config_options
@replaces_its_own()
def score_command(
    items: Path, answers: Sequence[Path], out: Path | None, explain: str | None, config: GivenConfig
) -> None:
    """Accuracy by stratum and benchmark, gaps and drops, each with its interval."""
    from components.report.terminal import print_scores
    from components.stages.compare import CompareConfig, explained, score_files

    if explain is not None:
        for line in explained(items, answers, explain):
            click.echo(line)
        return
    if out is None:
        raise click.UsageError("Missing option '--out' (or --explain ITEM_ID).")

    print_scores(score_files(items, answers, config.parse(CompareConfig), out))
    click.echo(f"scores: {out}")


def _decision_place(out: Path, _given: Mapping[str, Any]) -> Place:
    """decision.json itself, or a folder for it; scores.json goes beside it."""
    if out.suffix == ".json":
        return out.parent, ("scores.json", out.name), False
    return out, ("scores.json", "decision.json"), True


@click.command("compare")
@_items
@_answers
@click.option("--baseline", required=True, help="Name of the model in use, as in the answers.")
@click.option("--candidate", required=True, help="Name of the model that may replace it.")
@click.option("--look", type=click.IntRange(min=1), help="Decisions so far, plus one [default: 1, or the ledger's].")
@click.option("--ledger", metavar="DIR|URI", help="Reserve the look in the ledger below this folder or s3:// URI.")
@click.option("--out", required=True, type=ANY, help="decision.json; scores.json goes beside it.")
@click.option(
    "--equivalent",
    type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
    metavar="MARGIN",
    help="Also say whether the two are equivalent within MARGIN, a fraction (two one-sided tests).",
)
@click.option("--fail-on-refusal", is_flag=True, help="Exit with code 3 when the gate refuses.")
@config_options
@replaces_its_own(_decision_place)
def compare_command(
    items: Path,
    answers: Sequence[Path],
    baseline: str,
    candidate: str,
    look: int | None,
    ledger: str | None,
    out: Path,
    equivalent: float | None,
    fail_on_refusal: bool,
    config: GivenConfig,
) -> None:
    """Decide by the gate's rules whether the candidate replaces the baseline."""
    from components.errors import GateRefusedError
    from components.platform.folders.deletion import workspace
    from components.platform.storage.ledger import reserve, seal_number
    from components.report.terminal import print_decision, print_scores
    from components.stages.compare import CompareConfig, challenge, compare

    if ledger is not None and look is not None:
        raise click.UsageError("--look and --ledger: the ledger knows the look; give one of the two.")
    settings, seal = config.parse(CompareConfig), 0
    if ledger is not None:
        root = ledger.rstrip("/")
        seal = seal_number(root)
        look = reserve(root, challenge(items, answers, baseline, candidate, settings, seal_number=seal)).look
    folder, (scores, decision), _ = _decision_place(Path(os.path.realpath(out)), {})
    # A decision under another name beside this one stays.
    with workspace(folder, ".made-") as made:
        evidence = compare(items, answers, baseline, candidate, settings, made, look or 1, equivalent, seal)
        (made / "scores.json").replace(folder / scores)
        written = (made / "decision.json").replace(folder / decision)
    print_scores(json.loads((folder / scores).read_text(encoding="utf-8")), models=(baseline, candidate))
    print_decision(json.loads(written.read_text(encoding="utf-8")))
    click.echo(f"decision: {out if out.suffix == '.json' else out / decision}")
    if evidence["decision"] == "refuse" and fail_on_refusal:
        raise GateRefusedError(f"gate refused {candidate}: {', '.join(evidence['refused_by'])}")


def _file(name: str, text: str, **extra: Any) -> Callable[[Any], Any]:
    return click.option(name, type=Named(exists=True, path_type=Path), help=text, **extra)


@click.command("report")
@_file("--scores", "scores.json of `score` or `compare`.", required=True)
@_file("--decision", "decision.json of `compare`.")
@_file("--items", "The stratified questions (Parquet or JSONL).")
@_file("--answers", "Answer files (repeatable): versions and example outputs.", multiple=True)
@_file("--classifier", "classifier.json, or the folder that holds it.")
@_file("--curation", "curation.json.")
@click.option(
    "--history", "histories", multiple=True, metavar="STAGE=FILE", help="Training history, e.g. sft=sft.json."
)
@click.option("--out", required=True, type=FOLDER, help="Output folder.")
@json_option
@config_options
@replaces_its_own(folder_of("report.html", "report.md"))
def report_command(
    scores: Path,
    decision: Path | None,
    items: Path | None,
    answers: Sequence[Path],
    classifier: Path | None,
    curation: Path | None,
    histories: Sequence[str],
    out: Path,
    json_file: Path | None,
    config: GivenConfig,
) -> None:
    """Write report.html and report.md from scores and whatever else is at hand."""
    from components.platform.config import write_json
    from components.stages.report import ReportConfig, report

    settings = config.parse(ReportConfig)
    pairs = dict(_history(text) for text in histories)
    if classifier is not None and classifier.is_dir():
        classifier = classifier / "classifier.json"
    evidence = report(scores, decision, items, list(answers), classifier, curation, pairs, settings, out)
    write_json(json_file, evidence)
    click.echo(f"{evidence['headline']}: {out / 'report.html'}")
    if evidence["absent"]:
        click.echo(f"left out, not given: {', '.join(evidence['absent'])}")


def _history(text: str) -> tuple[str, Path]:
    from components.errors import InputError

    stage, equals, file = text.partition("=")
    if not equals or not stage or not file:
        raise InputError(f"--history {text}: write STAGE=FILE, for example sft=sft-history.json")
    return stage, Path(file)
