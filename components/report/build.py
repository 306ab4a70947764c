"""The order of the report's sections: what a busy reader wants first stands first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.questions.items import Item
from components.questions.published import CITATION
from components.questions.seal import Seal
from components.report.headline import facts, headline
from components.report.limits import Limits
from components.report.origin import Origin
from components.report.page import Page, Section
from components.report.scores import Record, Scores
from components.report.sections import (
    accuracy,
    answered,
    classifier,
    context,
    curation,
    examples,
    gaps,
    gate,
    positions,
    prefills,
    published,
    samples,
    share,
    slices,
    training,
)
from components.report.survey import Row, survey


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
    origin: Origin | None = None


def quotable(items: Sequence[Item], seal: Seal) -> list[Item | None]:
    """The items in their order, None in the place of one that the seal covers."""
    return [None if seal.covers(item) else item for item in items]


def asked_for(scores: Scores) -> list[Section]:
    """The parts that most runs do not ask for; they are not listed as left out."""
    found = (part.section(scores) for part in (slices, samples, positions))
    return [section for section in found if section]


def build_page(title: str, found: Inputs, limits: Limits) -> Page:
    """The whole page as data."""
    scores, decision = found.scores, found.decision
    seen = survey(found.items, found.answers, scores.models)
    model = decision["candidate"] if decision else scores.models[-1]
    sections = [
        accuracy.strata_section(scores),
        prefills.section(scores, seen),
        gaps.section(scores, model),
        gate.section(decision),
        accuracy.benchmarks_section(scores),
        *asked_for(scores),
        answered.section(scores, seen, found.metadata),
        share.section(found.items, found.classifier),
        classifier.section(found.classifier),
        training.section(found.histories),
        curation.section(
            found.curation, limits.removed_rows, {item.id for item in found.items if limits.seal.covers(item)}
        ),
        examples.section(
            scores,
            decision,
            quotable(found.items, limits.seal),
            found.answers,
            seen.graded,
            limits.examples,
            limits.example_chars,
        ),
        context.section(scores, found.items, found.metadata, seen.made, found.lineage),
        published.section(scores, found.items, found.classifier, model),
    ]
    origin = found.origin.facts() if found.origin else []
    return Page(title, headline(scores, decision), sections, CITATION, facts(scores, decision), origin)
