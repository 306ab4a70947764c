"""Context: how answers and adversarial prefills came about, how they were scored, and what the run was made from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from components.questions.items import Item
from components.report.page import Cell, Section, Table
from components.report.scores import Scores
from components.report.tables import pairs_table

Made = Mapping[str, Mapping[str, str]]  # model -> choice -> value

_OPENING_SOURCES = {"published": "came with the questions", "template": "templates", "model": "a model"}
_MODES = {
    "continued": "continued (the answer goes on from the prefill)",
    "two_turn": "two_turn (the prefill stood in an earlier turn)",
}


def section(
    scores: Scores, items: Iterable[Item], metadata: Made, reported: Made, lineage: Mapping[str, str]
) -> Section:
    """The choices that could change the figures of a report.

    `metadata` is what the answer file of each model says of how it was made, `reported` what its rows say.
    """
    shown = []
    known: Made = {m: r for m, r in metadata.items() if r} or scores.versions.get("answers") or {}
    models = sorted(known.keys() | reported.keys(), key=[*scores.models, *known].index)
    made = {m: {**known.get(m, {}), **reported.get(m, {})} for m in models}
    if any(made.values()):
        shown.append(metadata_table(made))
    sources = opening_sources(items)
    if sources:
        shown.append(pairs_table("Who wrote the adversarial prefills", sources))
    versions = {k: v for k, v in scores.versions.items() if k != "answers"}
    if versions:
        shown.append(pairs_table("How the answers were scored", versions))
    if lineage:
        shown.append(pairs_table("Where this run came from", lineage))
    sentence = "Each of these can move the figures above; compare two reports only where they agree."
    absent = "" if shown else "Neither the scores nor the answers say how they were made."
    return Section("choices", "Choices that could change the numbers", [sentence], [], shown, absent=absent)


def metadata_table(metadata: Made) -> Table:
    """What the answers of each model say about how they were made; a choice that differs is given per model."""
    names = list(dict.fromkeys(name for record in metadata.values() for name in record))
    rows = []
    for name in names:
        values = {model: _short(_plain(name, record.get(name, "not recorded"))) for model, record in metadata.items()}
        if len(set(values.values())) == 1:
            text, sub = next(iter(values.values())), ""
        else:
            text, sub = "; ".join(f"{model}: {value}" for model, value in values.items()), "differs between models"
        rows.append((Cell(name.replace("_", " "), sub), Cell(text, kind="words")))
    return Table("How the answers were made", ("Choice", "Value"), tuple(rows))


def opening_sources(items: Iterable[Item]) -> dict[str, str]:
    """How many questions have published, template or model-written prefills, and which model and prompt wrote those."""
    counts: Counter[str] = Counter()
    writers: dict[str, str] = {}
    for item in items:
        if any(item.opening(k) for k in range(3)):
            counts[str(item.meta.get("trace_source", "not recorded"))] += 1
            written = item.meta.get("openings")
            if isinstance(written, Mapping):
                writers.update({name: str(written[name]) for name in ("model", "prompt", "rule") if name in written})
    found = {_OPENING_SOURCES.get(s, s): f"{count:,} questions" for s, count in counts.most_common()}
    return found | {f"written by, {name}" if name != "model" else "written by": text for name, text in writers.items()}


def _plain(name: str, text: str) -> str:
    """What the two ways of giving a prefill mean; any other text as it is."""
    return ", ".join(_MODES.get(part, part) for part in text.split(", ")) if name == "prefill_mode" else text


def _short(text: str) -> str:
    """Digests cut to what tells them apart."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{20,}\b", "\\1…", text)
