"""`biomed-r1 classify`, `stratify`: the line between reasoning and knowledge questions, drawn and applied."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from pipelines.cli.options import (
    ANY,
    FILE,
    FOLDER,
    GivenConfig,
    Place,
    config_options,
    folder_of,
    json_option,
    one_file,
    replaces_its_own,
)


@click.command("classify")
@click.option("--labels", required=True, multiple=True, type=ANY, help="Labelled items.")
@click.option("--out", required=True, type=FOLDER, help="Folder for the checkpoint.")
@json_option
@config_options
def classify_command(labels: tuple[Path, ...], out: Path, json_file: Path | None, config: GivenConfig) -> None:
    """Train the classifier that tells reasoning questions from knowledge questions."""
    from components.platform.config import write_json
    from components.platform.folders.deletion import workspace
    from components.platform.folders.outputs import claimed, replace_contents
    from components.stages.classify import ClassifyConfig, classify

    settings = config.parse(ClassifyConfig)
    with claimed(out) as folder, workspace(folder, ".made-") as made:
        evidence = classify(labels, settings, made)
        replace_contents(folder, made)
    write_json(json_file, evidence)
    click.echo((out / "classifier.md").read_text(encoding="utf-8"))
    click.echo(f"threshold {evidence['threshold']:.3f} ({evidence['threshold_rule']}); saved to {out}")


@click.command("stratify")
@click.option("--items", required=True, multiple=True, type=ANY, help="Questions (repeatable).")
@click.argument("more_items", nargs=-1, type=ANY)
@click.option(
    "--classifier", help="Model reference of a trained classifier [default: one trained on the samples' labels]."
)
@click.option("--out", required=True, type=FILE, help="Parquet (or JSONL) to write.")
@json_option
@config_options
@replaces_its_own()
def stratify_command(
    items: tuple[Path, ...],
    more_items: tuple[Path, ...],
    classifier: str | None,
    out: Path,
    json_file: Path | None,
    config: GivenConfig,
) -> None:
    """Score items as reasoning or knowledge; several files may follow --items."""
    from components.platform.config import write_json
    from components.platform.models import local_model
    from components.platform.screen.tables import Column, Screen, columns
    from components.questions.published import REASONING_SHARE
    from components.stages.stratify import StratifyConfig, stratify

    settings = config.parse(StratifyConfig)
    chosen = local_model(classifier) if classifier else None
    evidence = stratify((*items, *more_items), chosen, settings, out)
    write_json(json_file, evidence)
    screen = Screen()
    screen.say(evidence["classifier"]["words"])
    shares = [*sorted(evidence["benchmarks"].items()), ("all", evidence["pooled"])]
    corrected = [_corrected(share["corrected"]) for _, share in shares]
    head = columns("benchmark", "items", "reasoning", figures=("items", "reasoning"))
    rows = [[name, f"{share['n']}", _interval(share)] for name, share in shares]
    if any(corrected):
        head.append(Column("corrected", words=True))
        rows = [[*row, text] for row, text in zip(rows, corrected, strict=True)]
    screen.table("", head, rows)
    screen.say(
        f"paper: {REASONING_SHARE:.3f} of its eleven benchmarks; threshold {evidence['threshold']:.3f}, and "
        f"{evidence['threshold_at_paper_share']:.2f} would give the paper's share"
    )
    for title, found in (("experts", evidence["experts"]["all"]), ("exam step", evidence["exam_step"])):
        if found["n"] and found["auroc"] is not None:
            alone = f" (words alone {found['words_auroc']:.3f})" if "words_auroc" in found else ""
            screen.say(f"{title}: {found['n']} items, AUROC {found['auroc']:.3f}{alone}, kappa {found['kappa']:.3f}")


def _labels_place(out: Path, given: Mapping[str, Any]) -> Place:
    """A folder for the sheet, or with a filled one the file of items."""
    from components.stages.label_sample import DESIGN, SHEET

    return folder_of(SHEET, DESIGN)(out, given) if given["sheet"] is None else one_file(out, given)


@click.command("label-sample")
@click.option("--items", required=True, type=FILE, help="Stratified questions.")
@click.option("--out", required=True, type=ANY, help="Folder of the sheet; with --sheet, items.")
@click.option("--sheet", type=FILE, help="The filled label-sheet.csv: read the labels instead of drawing.")
@click.option("--design", type=FILE, help="label-design.json of the draw [default: beside the sheet].")
@json_option
@config_options
@replaces_its_own(_labels_place)
def label_sample_command(
    items: Path, out: Path, sheet: Path | None, design: Path | None, json_file: Path | None, config: GivenConfig
) -> None:
    """Draw questions with known probabilities for two people to label; with --sheet, check and apply their labels."""
    from components.platform.config import write_json
    from components.stages.label_sample import DESIGN, SHEET, LabelSampleConfig, apply, draw

    if sheet is None:
        drawn = draw(items, config.parse(LabelSampleConfig), out)
        write_json(json_file, drawn)
        click.echo(f"{drawn['drawn']} of {drawn['of']} questions drawn: {out / SHEET}; the design is in {out / DESIGN}")
        return
    found = apply(items, design or sheet.with_name(DESIGN), sheet, out)
    write_json(json_file, found)
    kappa = "n/a" if found["kappa"] is None else f"{found['kappa']:.2f}"
    click.echo(
        f"{found['labelled']} questions labelled, {found['reasoning']} of them Reasoning; the two people differ on "
        f"{found['differ']} (kappa {kappa}); items in {out}"
    )


def _interval(share: dict[str, Any]) -> str:
    return f"{share['share']:.3f} ({share['ci_low']:.3f} to {share['ci_high']:.3f})"


def _corrected(share: dict[str, Any] | None) -> str:
    from components.classifier.shares import correction_words

    return correction_words(share) if share else ""
