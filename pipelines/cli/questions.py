"""`biomed-r1 ingest`, `openings`, `curate`, `export`: question sets from one form to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import (
    ANY,
    FILE,
    FOLDER,
    GivenConfig,
    config_options,
    folder_of,
    json_option,
    replaces_its_own,
)

if TYPE_CHECKING:
    from components.platform.sources import Kind


@click.command("ingest")
@click.option(
    "--from",
    "source",
    required=True,
    help="Where the questions are: `samples`, a folder or file, s3://... or hf:datasets/ORG/NAME@REVISION.",
)
@click.option("--kind", type=click.Choice(["benchmarks", "train"]), default="benchmarks", show_default=True)
@click.option("--out", required=True, type=FILE, help="Items to write (.parquet or .jsonl).")
@click.option(
    "--map", "mapping", metavar="FIELD=COLUMN,...", help="Columns of a shape of your own (docs/question-formats.md)."
)
@click.option("--json", "json_file", type=FILE, help="Write what was read and dropped.")
@config_options
@replaces_its_own(first=lambda out, given: _writable_items(out, given["source"]))
def ingest_command(
    source: str, kind: Kind, out: Path, mapping: str | None, json_file: Path | None, config: GivenConfig
) -> None:
    """Read a question set of any accepted shape and write it as Items."""
    from components.platform.config import parse_config, write_json
    from components.stages.ingest import IngestConfig, ingest_one

    values = config.parse(IngestConfig).model_dump() | ({"mapping": mapping} if mapping else {})
    rows, read = ingest_one(source, kind, parse_config(IngestConfig, values, "--map"), out)
    write_json(json_file, [file.model_dump(exclude={"items"}) for file in read])
    dropped = sum(len(file.defects) for file in read)
    click.echo(f"{rows} items from {len(read)} files to {out}" + (f", {dropped} rows dropped" if dropped else ""))


def _writable_items(out: Path, source: str) -> None:
    """Raise InputError for a file that would replace its own source, or of a format that is not written."""
    from components.errors import InputError

    if out.exists() and Path(source).exists() and out.resolve() == Path(source).resolve():
        raise InputError(f"--out {out}: is the source itself; give another file")
    if out.suffix not in (".parquet", ".jsonl"):
        raise InputError(f"--out {out}: items are written as .parquet or .jsonl; give the file one of these endings")


@click.command("openings")
@click.option("--items", required=True, type=FILE, help="Questions (Parquet or JSONL).")
@click.option("--model", required=True, help="Model reference of the model that writes them.")
@click.option("--out", required=True, type=FILE, help="Items to write (.parquet or .jsonl).")
@click.option("--base-url", help="Endpoint of an openai:NAME model.")
@click.option("--limit", type=click.IntRange(min=1), help="Only a seeded sample of this many questions.")
@json_option
@config_options
@replaces_its_own()
def openings_command(
    items: Path,
    model: str,
    out: Path,
    base_url: str | None,
    limit: int | None,
    json_file: Path | None,
    config: GivenConfig,
) -> None:
    """Have a model write three prefills (short wrong statements) per question."""
    from components.platform.config import parse_config, write_json
    from components.platform.storage.journal import forget
    from components.stages.openings import OpeningsConfig, openings

    given = {name: value for name, value in (("base_url", base_url), ("limit", limit)) if value}
    values = {**config.parse(OpeningsConfig).model_dump(), **given}
    journal = f"{out}.journal"
    evidence = openings(items, model, parse_config(OpeningsConfig, values, "openings"), out, journal)
    write_json(json_file, evidence)
    forget(journal)
    click.echo(
        f"{evidence['openings']} prefills: {evidence['accepted_first']} accepted at once "
        f"({evidence['acceptance_rate_first']:.1%}), {evidence['accepted_after_retries']} when asked again, "
        f"{evidence['templated']} from templates; items in {out}"
    )


@click.command("curate")
@click.option("--train", required=True, type=ANY, help="Training items.")
@click.option("--items", "benchmarks", required=True, type=ANY, help="Benchmark items to keep out.")
@click.option("--classifier", required=True, help="Model reference of a trained classifier.")
@click.option("--out", required=True, type=FOLDER, help="Folder to write.")
@json_option
@config_options
@replaces_its_own(folder_of("sft.parquet", "rl.parquet", "curation.json"))
def curate_command(
    train: Path, benchmarks: Path, classifier: str, out: Path, json_file: Path | None, config: GivenConfig
) -> None:
    """Build the SFT and RL sets: decontaminated, reasoning-heavy, some examples with a prefill."""
    from components.platform.config import write_json
    from components.platform.models import local_model
    from components.stages.curate import CurateConfig, curate

    settings = config.parse(CurateConfig)
    evidence = curate(train, benchmarks, local_model(classifier), settings, out)
    write_json(json_file, evidence)
    counts = evidence["counts"]
    click.echo(
        f"{counts['train']} training items: {counts['contaminated']} contaminated, {counts['near_duplicates']} "
        f"near-duplicates, {counts['kept']} kept, {counts['reasoning_heavy']} of them reasoning-heavy"
    )
    for name, described in evidence["sets"].items():
        click.echo(
            f"{name}: {described['rows']} rows of {described['items']} items, "
            f"{described['with_wrong_opening']} with a prefill, "
            f"{described['reasoning_heavy_share']:.0%} reasoning-heavy"
        )


@click.command("export")
@click.option("--items", required=True, type=FILE, help="Stratified questions.")
@click.option(
    "--to",
    "form",
    required=True,
    type=click.Choice(["lm-eval", "inspect-ai", "verifiers", "parquet"]),
    help="What to write.",
)
@click.option("--out", required=True, type=FOLDER, help="Folder to write.")
@json_option
@config_options
def export_command(items: Path, form: str, out: Path, json_file: Path | None, config: GivenConfig) -> None:
    """Write the questions for lm-evaluation-harness, inspect_ai or verifiers, or in the published Parquet columns."""
    from components.platform.config import write_json
    from components.platform.folders.deletion import workspace
    from components.platform.folders.outputs import check, claimed, replace_contents
    from components.platform.tables import read_items
    from components.stages.export import ExportConfig, export_folder, export_lm_eval, export_parquet

    settings = config.parse(ExportConfig)
    check(out)
    questions = read_items(items)
    with claimed(out) as folder, workspace(folder, ".made-") as made:
        if form == "parquet":
            evidence = export_parquet(questions, made)
        elif form != "lm-eval":
            evidence = export_folder(questions, form, settings, made)
        else:
            evidence = export_lm_eval(questions, settings, made)
        replace_contents(folder, made)
    if form == "parquet":
        click.echo(f"{len(questions)} questions of {len(evidence['benchmarks'])} benchmarks in {out}")
    elif form != "lm-eval":
        click.echo(f"{len(questions)} questions in {out}; {out / 'README.md'} says how to run them")
    else:
        groups = ", ".join(evidence["groups"])
        click.echo(f"{len(questions)} questions as {evidence['tasks']} tasks in {out}; groups: {groups}")
        first = next(iter(evidence["groups"]))
        click.echo(
            f"lm-eval run --model hf --model_args pretrained=MODEL --include_path {out} --tasks {first} "
            "--apply_chat_template"
        )
    write_json(json_file, evidence)
