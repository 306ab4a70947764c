"""Examples: questions that a model lost against another, or against itself under an adversarial prefill."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from components.questions.askings import OPENED
from components.questions.items import Item
from components.questions.orders import read_in_order
from components.report.page import Example, Section
from components.report.scores import PLAIN, Record, Scores, setting_words
from components.report.survey import Row
from components.report.wording import join
from components.scoring import regressions
from components.scoring.askings.marking import order_of
from components.scoring.outcomes import Answers
from components.scoring.regressions import Regression


def section(
    scores: Scores,
    decision: Record | None,
    items: Sequence[Item | None],
    rows: Iterable[Row],
    graded: Answers,
    most: int,
    chars: int,
) -> Section:
    """At most `most` examples, but one at least for each pair of models; `chars` of each text are shown.

    `items` are in the order of `graded`; a None stands where a question may not be quoted.
    """
    alone = decision is None and len(scores.models) == 1
    title = "Lost after a prefill" if alone else "Worst regressions"
    if not most:
        return Section("regressions", title, absent="Question text was left out of this page.")
    if not graded:
        return Section("regressions", title, absent="No questions with their answers were given.")
    if alone:
        model = scores.models[0]
        if PLAIN not in graded.get(model, {}) or not any(s in graded[model] for s in OPENED):
            return Section("regressions", title, absent="It takes plain answers and answers after prefills.")
        found = regressions.worst_falls(items, graded, model, most)
        none = "No question with answers went from right to wrong after a prefill."
        sentences = [
            "Questions that were answered right when asked plainly and wrong after at least one prefill, those "
            "lost most often first."
        ]
        titles = regressions.titles(found, "prefills")
    else:
        found, titles, sentences = _lost(scores.models, decision, items, graded, most)
        none = sentences[-1]
    if not found:
        return Section("regressions", title, absent=none)
    answers = regressions.outputs(found, rows)
    shown = [_example(r, name, answers, chars) for r, name in zip(found, titles, strict=True)]
    return Section("regressions", title, sentences, examples=shown)


def _lost(
    models: Sequence[str], decision: Record | None, items: Sequence[Item | None], graded: Answers, most: int
) -> tuple[list[Regression], list[str], list[str]]:
    """The candidate's regressions, or without a decision those of every model against the first; titles; sentences."""
    baseline = decision["baseline"] if decision else models[0]
    candidates = [decision["candidate"]] if decision else list(models[1:])
    each = max(1, most // len(candidates))
    pairs = [(m, regressions.worst_regressions(items, graded, baseline, m, each)) for m in candidates]
    found = [r for _, own in pairs for r in own]
    titles = [
        f"{model}: {title}" if len(candidates) > 1 else title
        for model, own in pairs
        for title in regressions.titles(own)
    ]
    worse, none = [m for m, own in pairs if own], [m for m, own in pairs if not own]
    sentences = []
    if worse:
        who = join(worse) if len(worse) == 1 else "a later model"
        first = f"{baseline}, the first of the models," if not decision else baseline
        sentences.append(f"Questions that {first} answered right and {who} answered wrong, in most settings first.")
    if none:
        sentences.append(f"No question that both were asked went worse with {join(none)} than with {baseline}.")
    return found, titles, sentences


def _example(found: Regression, title: str, answers: dict[tuple[str, str, str], Record], most: int) -> Example:
    item = found.item
    text = f"{item.context}\n\n{item.question}" if item.context else item.question
    options = tuple((k, v, k == item.answer_idx) for k, v in item.options.items())
    first, second = (answers[key] for key in found.keys)
    opening = str(second.get("prefill") or "").strip()
    put = [("The prefill, the given beginning of the answer", opening)] if opening else []
    outputs = (_written(item, first, most), *put, _written(item, second, most))
    return Example(title, regressions.shorten(text, most), options, outputs)


def _written(item: Item, row: Record, most: int) -> tuple[str, str]:
    """Who wrote it, what was read from it beside what is right, and the text."""
    output = str(row["output"]).strip()
    letter = read_in_order(row["output"], item, order_of(row, item, "answers")).letter
    if letter == item.answer_idx:
        read = f"chose {letter}, the right answer"
    else:
        read = f"{f'chose {letter}' if letter else 'named no option'} (right answer: {item.answer_idx})"
    who = f"{row['model']}, {setting_words(row['setting'])}: {read}"
    return who, regressions.shorten(output, most) or "(nothing was written)"
