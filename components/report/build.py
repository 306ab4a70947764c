"""The sections of the report, in the order a busy reader wants them; each says why it is empty where it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.questions import published
from components.questions.items import Item
from components.report import figures, tables
from components.report import scores as findings
from components.report.page import Figure, Page, Section
from components.report.scores import Record, Scores
from components.report.sections import accuracy as findings_benchmarks
from components.report.sections import context as findings_made
from components.report.sections import curation as findings_curation
from components.report.sections import gaps as findings_gaps
from components.report.sections import gate as findings_gate
from components.report.sections import prefills as findings_openings
from components.report.sections import published as findings_published
from components.report.sections import runs
from components.report.sections.examples import examples_section
from components.report.sections.share import corrected_sentence, threshold_curve
from components.report.survey import Row, Survey, survey
from components.report.wording import is_number, percent

# The curves worth a drawing, by stage; what a history does not have is not drawn.
_CURVES = {
    "sft": ("loss",),
    "grpo": ("reward", "reward_correctness", "reward_format", "reward_self_correction"),
}
_OTHER_CURVES = ("loss", "reward")


@dataclass(frozen=True)
class Inputs:
    """What was found of a run; a None or empty part leaves its section out, and the page says so."""

    scores: Scores
    decision: Record | None
    items: Sequence[Item]
    answers: Iterable[Row]  # read more than once
    metadata: Mapping[str, Mapping[str, str]]  # model -> what its answer file says of how they were made
    classifier: Record | None
    curation: Record | None
    histories: Mapping[str, Any]
    lineage: Mapping[str, str]


@dataclass(frozen=True)
class Limits:
    """How much text the page shows."""

    examples: int = 4
    example_chars: int = 900
    removed_rows: int = 12


def build_page(title: str, found: Inputs, limits: Limits) -> Page:
    """The whole page as data."""
    scores, decision = found.scores, found.decision
    seen = survey(found.items, found.answers, scores.models)
    sections = [
        _strata(scores),
        _openings(scores, seen),
        _gaps(scores, decision["candidate"] if decision else scores.models[-1]),
        _gate(decision),
        _benchmarks(scores),
        _answered(scores, seen),
        _share(found.items, found.classifier),
        _classifier(found.classifier),
        _training(found.histories),
        _curation(found.curation, limits),
        examples_section(
            scores, decision, found.items, found.answers, seen.graded, limits.examples, limits.example_chars
        ),
        _choices(found, seen),
        _paper(found),
    ]
    return Page(title, findings_gate.headline(scores, decision), sections, published.CITATION, _facts(scores, decision))


def _facts(scores: Scores, decision: Record | None) -> list[tuple[str, str]]:
    facts = []
    names = [decision["candidate"], decision["baseline"]] if decision else scores.models[:2]
    for name in dict.fromkeys(names):
        for stratum in findings.STRATA if scores.stratified else ("all",):
            cell = scores.cell(name, scores.lead, stratum)
            if cell and is_number(cell["accuracy"]):
                facts.append((f"{name}, {stratum}" if len(scores.models) > 1 else stratum, percent(cell["accuracy"])))
    adversarial = scores.cell(scores.models[0], "adversarial")
    if len(scores.models) == 1 and adversarial and is_number(adversarial["accuracy"]):
        facts.append(("after a wrong opening", percent(adversarial["accuracy"])))
    return facts


def _strata(scores: Scores) -> Section:
    sentences = findings.strata_sentences(scores)
    if missing := findings.missing_stratum(scores):
        alone = len(scores.strata) > 1
        there = "there are no two accuracies to compare" if alone else "only accuracies over all of them are shown"
        sentences.append(f"{missing}, so {there}.")
    title = "Knowledge and reasoning" if scores.stratified else "Accuracy"
    return Section("strata", title, sentences, [figures.strata_figure(scores)])


def _openings(scores: Scores, seen: Survey) -> Section:
    sentences = findings_openings.drop_sentences(scores)
    if not sentences:
        absent = "No model was asked with wrong openings in this run."
        return Section("openings", "Under a wrong opening", absent=absent)
    sentences += findings_openings.thought_sentences(scores, seen.thoughts, seen.modes)
    sentences += findings_openings.mode_sentences(scores, seen.modes)
    figure, table = figures.drop_figure(scores), tables.drop_table(scores)
    drawn, found = ([figure] if figure else []), ([table] if table else [])
    return Section("openings", "Under a wrong opening", sentences, drawn, found)


def _gaps(scores: Scores, model: str) -> Section:
    title, table = "The gap, three ways", findings_gaps.gap_table(scores)
    missing = findings.missing_stratum(scores) or "One stratum has too few questions"
    if table is None:
        return Section("gaps", title, absent=f"{missing}, so there is no gap to show.")
    figure = figures.gap_figure(scores)
    intro = (
        "Reasoning questions are not spread evenly over benchmarks, so a pooled gap mixes how hard a benchmark is with "
        "how the model reasons. The gap within benchmarks compares like with like."
    )
    if figure is None:
        intro = f"{missing}: a gap can be measured only with soft strata, which weigh each question by its probability."
    sentences = [intro, *findings_gaps.gap_sentences(scores)]
    found = [table, findings_gaps.sensitivity_table(scores, model)]
    return Section("gaps", title, sentences, [figure] if figure else [], [t for t in found if t])


def _gate(decision: Record | None) -> Section:
    if decision is None:
        return Section("gate", "The gate's reasons", absent="No decision was given: no candidate was put to the gate.")
    figure = figures.gate_figure(decision)
    sentences = findings_gate.gate_sentences(decision)
    return Section("gate", "The gate's reasons", sentences, [figure] if figure else [], [tables.gate_table(decision)])


def _benchmarks(scores: Scores) -> Section:
    found = [findings_benchmarks.overview_table(scores)]
    if scores.stratified:
        settings = scores.shown(scores.models)
        found += [t for s in settings if (t := findings_benchmarks.benchmark_table(scores, s))]
    sentence = "Accuracy with its 95 % interval. With few questions a row is wide open: read the rows together."
    return Section("benchmarks", "Benchmark by benchmark", [sentence], [], found)


def _answered(scores: Scores, seen: Survey) -> Section:
    table = tables.strata_table(scores, seen.withheld)
    return Section("answered", "No answer, cut off, not asked", [], [], [table])


def _share(items: Sequence[Item], classifier: Record | None) -> Section:
    found = runs.shares(items)
    title = "How much is reasoning"
    if not found:
        return Section("share", title, absent="No questions with strata were given.")
    sentences, drawn = [runs.share_sentence(found[0])], [figures.share_figure(found)]
    if (corrected := corrected_sentence(items, classifier)) is not None:
        sentences.append(corrected)
    if (curve := threshold_curve(items)) is not None:
        drawn.append(figures.share_curve_figure(*curve))
    return Section("share", title, sentences, drawn, [runs.share_table(found)])


def _classifier(classifier: Record | None) -> Section:
    title = "The classifier that draws the line"
    if classifier is None:
        return Section("classifier", title, absent="No classifier record was given.")
    drawn: list[Figure] = []
    found = [t for t in (runs.classifier_table(classifier),) if t]
    labels, probs = runs.heldout(classifier)
    points, of = runs.roc_points(classifier, labels, probs), runs.sample(classifier)
    if points:
        drawn.append(figures.roc_figure(points, runs.area(points), of))
        if is_number(classifier.get("threshold")):
            found.append(runs.confusion_table(labels, probs, classifier["threshold"], of))
    return Section("classifier", title, runs.classifier_sentences(classifier, labels), drawn, found)


def _training(histories: Mapping[str, Any]) -> Section:
    drawn, sentences = [], []
    for stage, history in histories.items():
        curves = runs.series(history, _CURVES.get(stage, _OTHER_CURVES))
        if curves:
            drawn.append(figures.training_figure(stage, curves))
            sentences.append(runs.curve_sentence(stage, *next(iter(curves.items()))))
    absent = "" if drawn else "No training history was given."
    return Section("training", "Training", sentences, drawn, absent=absent)


def _curation(curation: Record | None, limits: Limits) -> Section:
    title = "What curation removed"
    if curation is None:
        return Section("curation", title, absent="No record of curation was given.")
    found = findings_curation.curation_tables(curation, limits.removed_rows)
    return Section("curation", title, findings_curation.curation_sentences(curation), [], found)


def _choices(found: Inputs, seen: Survey) -> Section:
    shown = []
    metadata = {m: r for m, r in found.metadata.items() if r} or found.scores.versions.get("answers") or {}
    models = sorted(metadata.keys() | seen.made.keys(), key=[*found.scores.models, *metadata].index)
    metadata = {m: {**metadata.get(m, {}), **seen.made.get(m, {})} for m in models}
    if any(metadata.values()):
        shown.append(findings_made.metadata_table(metadata))
    sources = findings_made.opening_sources(found.items)
    if sources:
        shown.append(tables.pairs_table("Who wrote the wrong openings", sources))
    versions = {k: v for k, v in found.scores.versions.items() if k != "answers"}
    if versions:
        shown.append(tables.pairs_table("How the answers were scored", versions))
    if found.lineage:
        shown.append(tables.pairs_table("Where this run came from", found.lineage))
    sentence = "Each of these can move the figures above; compare two reports only where they agree."
    absent = "" if shown else "Neither the scores nor the answers say how they were made."
    return Section("choices", "Choices that could change the numbers", [sentence], [], shown, absent=absent)


def _paper(found: Inputs) -> Section:
    pooled = next(iter(runs.shares(found.items)), None)
    metrics = runs.flatten_numbers((found.classifier or {}).get("metrics") or {})
    model = found.decision["candidate"] if found.decision else found.scores.models[-1]
    drawn = [
        findings_published.paper_table(found.scores, pooled.value if pooled else None, metrics.get("accuracy"), model),
        findings_published.public_table(found.scores, found.scores.models),
    ]
    sentence = (
        "The paper finds that every model answers knowledge better than reasoning, and that wrong openings cost "
        "biomedical models most. Whether that holds here is for the intervals above to say."
    )
    return Section("paper", "Beside the published figures", [sentence], [], [t for t in drawn if t.rows])
