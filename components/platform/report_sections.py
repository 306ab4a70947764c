"""The sections of the report, in the order a busy reader wants them; each says why it is empty where it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.platform import report_figures as figures
from components.platform.page import Example, Figure, Page, Section
from components.qa import findings, findings_benchmarks, findings_curation, findings_gate, findings_published, published
from components.qa import findings_runs as runs
from components.qa import findings_tables as tables
from components.qa.findings import Record, Scores
from components.qa.findings_threshold import corrected_sentence, threshold_curve
from components.qa.items import Item
from components.qa.regressions import Regression, shorten, titles, worst_falls, worst_regressions
from components.qa.wording import is_number, percent

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
    answers: Iterable[Record]
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
    sections = [
        _strata(scores),
        _openings(scores),
        _gaps(scores, decision["candidate"] if decision else scores.models[-1]),
        _gate(decision),
        _benchmarks(scores),
        _answered(scores),
        _share(found.items, found.classifier),
        _classifier(found.classifier),
        _training(found.histories),
        _curation(found.curation, limits),
        _regressions(found, limits),
        _choices(found),
        _paper(found),
    ]
    return Page(title, findings_gate.headline(scores, decision), sections, published.CITATION, _facts(scores, decision))


def _facts(scores: Scores, decision: Record | None) -> list[tuple[str, str]]:
    facts = []
    names = [decision["candidate"], decision["baseline"]] if decision else scores.models[:2]
    for name in dict.fromkeys(names):
        for stratum in findings.STRATA if scores.stratified else ("all",):
            cell = scores.cell(name, "plain", stratum)
            if cell and is_number(cell["accuracy"]):
                facts.append((f"{name}, {stratum}" if len(scores.models) > 1 else stratum, percent(cell["accuracy"])))
    adversarial = scores.cell(scores.models[0], "adversarial")
    if len(scores.models) == 1 and adversarial and is_number(adversarial["accuracy"]):
        facts.append(("after a wrong opening", percent(adversarial["accuracy"])))
    return facts


def _strata(scores: Scores) -> Section:
    sentences = findings.strata_sentences(scores)
    if not scores.stratified:
        sentences.append("The questions carry no strata, so only accuracies over all of them are shown.")
    title = "Knowledge and reasoning" if scores.stratified else "Accuracy"
    return Section("strata", title, sentences, [figures.strata_figure(scores)])


def _openings(scores: Scores) -> Section:
    figure, table = figures.drop_figure(scores), tables.drop_table(scores)
    if table is None:
        absent = "No model was asked with wrong openings in this run."
        return Section("openings", "Under a wrong opening", absent=absent)
    drawn = [figure] if figure else []
    return Section("openings", "Under a wrong opening", findings.drop_sentences(scores), drawn, [table])


def _gaps(scores: Scores, model: str) -> Section:
    figure = figures.gap_figure(scores)
    if figure is None:
        return Section("gaps", "The gap, three ways", absent="Without strata there is no gap to show.")
    intro = (
        "Reasoning questions are not spread evenly over benchmarks, so a pooled gap mixes how hard a benchmark is with "
        "how the model reasons. The gap within benchmarks compares like with like."
    )
    sentences = [intro, *findings.gap_sentences(scores)]
    found = [tables.gap_table(scores), tables.sensitivity_table(scores, model)]
    return Section("gaps", "The gap, three ways", sentences, [figure], [t for t in found if t])


def _gate(decision: Record | None) -> Section:
    if decision is None:
        return Section("gate", "The gate's reasons", absent="No decision was given: no candidate was put to the gate.")
    figure = figures.gate_figure(decision)
    sentences = findings_gate.gate_sentences(decision)
    return Section("gate", "The gate's reasons", sentences, [figure] if figure else [], [tables.gate_table(decision)])


def _benchmarks(scores: Scores) -> Section:
    found = [findings_benchmarks.overview_table(scores)]
    if scores.stratified:
        found += [t for s in tables.SETTINGS if (t := findings_benchmarks.benchmark_table(scores, s))]
    sentence = "Accuracy with its 95 % interval. With few questions a row is wide open: read the rows together."
    return Section("benchmarks", "Benchmark by benchmark", [sentence], [], found)


def _answered(scores: Scores) -> Section:
    return Section("answered", "No answer, cut off, not asked", [], [], [tables.strata_table(scores)])


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
    points = runs.roc(labels, probs)
    if points:
        drawn.append(figures.roc_figure(points, runs.area(points)))
        if is_number(classifier.get("threshold")):
            found.append(runs.confusion_table(labels, probs, classifier["threshold"]))
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


def _regressions(found: Inputs, limits: Limits) -> Section:
    title = "Worst regressions"
    decision, scores = found.decision, found.scores
    if not limits.examples:
        return Section("regressions", title, absent="Question text was left out of this page.")
    if decision is None and len(scores.models) > 1:
        return Section("regressions", title, absent="Without a decision there is no pair to compare.")
    if decision is None:
        title = "Lost under a wrong opening"
        worst = worst_falls(found.items, found.answers, scores.models[0], limits.examples)
        sentence = "Questions that were answered right when asked plainly and wrong after most of the openings."
        unit, none = "openings", "No question with answers went from right to wrong under an opening."
    else:
        pair = decision["baseline"], decision["candidate"]
        worst = worst_regressions(found.items, found.answers, *pair, limits.examples)
        sentence = f"Questions that {pair[0]} answered right and {pair[1]} answered wrong, in most settings first."
        unit, none = "settings", "No question with answers of both models got worse."
    if not worst:
        return Section("regressions", title, absent=none)
    shown = [_example(r, name, limits.example_chars) for r, name in zip(worst, titles(worst, unit), strict=True)]
    return Section("regressions", title, [sentence], examples=shown)


def _example(found: Regression, title: str, most: int) -> Example:
    item = found.item
    text = f"{item.context}\n\n{item.question}" if item.context else item.question
    options = tuple((k, v, k == item.answer_idx) for k, v in item.options.items())
    first, second = ((who, shorten(t, most)) for who, t in zip(found.who, (found.before, found.after), strict=True))
    opening = [("The wrong opening, put in its mouth", found.opening)] if found.opening else []
    return Example(title, shorten(text, most), options, (first, *opening, second))


def _choices(found: Inputs) -> Section:
    shown = []
    metadata = {m: r for m, r in found.metadata.items() if r} or found.scores.versions.get("answers") or {}
    if metadata:
        shown.append(runs.metadata_table(metadata))
    sources = runs.opening_sources(found.items)
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
