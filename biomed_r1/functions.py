"""The functions of the package: thin, typed doors to extraction, scoring, the gate and the classifier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from components.errors import InputError
from components.extraction import extract as _extract
from components.questions.items import Item, parse_item
from components.questions.option_values import LETTERS
from components.scoring.askings.marking import Marked, mark
from components.scoring.bootstrap import DRAWS
from components.scoring.cells import score as _score
from components.scoring.gate.comparison import comparisons
from components.scoring.gate.decide import conditions, distinct
from components.scoring.gate.decide import decide as _decide
from components.scoring.gate.flips import flips
from components.scoring.gate.rules import Rules
from components.scoring.outcomes import Answers, item_table, outcomes_of
from components.scoring.slices import slices_of
from components.training.rewards import rewards as _rewards


class Frame(Protocol):
    """What is asked of a DataFrame (pandas has it)."""

    def to_dict(self, orient: Any) -> Any: ...


Row = Mapping[str, Any]
Rows = Iterable[Row] | Frame
Versions = Mapping[str, Mapping[str, str]]


def extract(output: str, options: Mapping[str, str] | Sequence[str]) -> str | None:
    """The letter of the option that a model's output names, or None where it names none or several.

    `options` is {letter: text}, or the texts alone, which get the letters A, B, C, … The rules are described in
    docs/extraction.md.
    """
    lettered = dict(options) if isinstance(options, Mapping) else dict(zip(LETTERS, options, strict=False))
    return _extract(output, lettered)


def rewards(output: str, options: Mapping[str, str], answer_idx: str, opening: str = "") -> dict[str, float | None]:
    """What `biomed-r1 grpo` gives an output: `correctness` (0, 1), `format` (0, 0.5, 1), `self_correction` (-1, 0, 1).

    `options` is {letter: text}, `answer_idx` the right letter. `opening` is the prefill that the output continues;
    without one `self_correction` is None.
    """
    return _rewards(output, options, answer_idx, opening)


def score(
    items: Rows, answers: Rows, *, draws: int = DRAWS, seed: int = 0, slices: Sequence[str] = ()
) -> dict[str, Any]:
    """Accuracies, gaps and prefill drops of every model in `answers`, each with its 95 % interval.

    `items` has the columns of docs/question-formats.md (id, question, options, answer_idx, dataset_name; is_reasoning
    where strata are known; group_id where questions share a stem). `answers` has a row per model, item and setting:
    item_id, model, setting (plain, adversarial_0, adversarial_1, adversarial_2) and output, the text that was written;
    where a question was answered more than once also sample or order (docs/samples.md). `draws` are of the bootstrap,
    `slices` names columns of the items to score by. Returns the record of scores.json: `cells`, `gaps`,
    `adversarial_drops`, `threshold_sensitivity`, `samples`, `positions`, `slices`, `versions`. Raises InputError naming
    row and field.
    """
    asked = _items(items)
    marked = _marked(asked, answers)
    return _score(
        item_table(asked),
        outcomes_of(marked, len(asked)),
        seed=seed,
        draws=draws,
        answer_versions={model: {} for model in marked},
        marked=marked,
        slices=slices_of(asked, slices, "slices"),
    )


def compare(
    items: Rows,
    answers: Rows,
    baseline: str,
    candidate: str,
    *,
    level: float = 0.025,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """Two models side by side, without a decision: `{"differences": [...], "flips": [...]}`.

    `differences` has candidate minus baseline (a fraction) by setting and stratum with its 95 % interval and three
    p values; `detectable` is the gain found four times in five at the one-sided `level`. `flips` counts right→wrong and
    wrong→right by stratum and benchmark, with McNemar's test. Raises InputError for a name without answers.
    """
    asked = _items(items)
    graded = _both(_graded(asked, answers), baseline, candidate)
    table, pair = item_table(asked), (graded[baseline], graded[candidate])
    return {
        "differences": comparisons(table, *pair, level, seed=seed, draws=draws),
        "flips": flips(table, *pair),
    }


def decide(
    items: Rows, answers: Rows, baseline: str, candidate: str, *, versions: Versions | None = None, **rules: Any
) -> dict[str, Any]:
    """The gate's decision whether `candidate` may replace `baseline`: the record of decision.json.

    `rules` are the gate's settings (alpha, margin, no_answer_bound, look, schedule, horizon, benchmark_margin,
    guard_columns; docs/gate.md). `look` counts the decisions against this baseline on these questions: the caller keeps
    that count, `biomed-r1 compare --ledger` keeps it by itself. `versions` is {model: {items_digest, prompt, decoding,
    engine, weights_sha256}}: without it the gate cannot know that both were asked alike, and refuses; give the same
    values for both to say so. Raises InputError for unequal conditions, a name without answers or a rule out of range.
    """
    asked = _items(items)
    graded = _both(_graded(asked, answers), baseline, candidate)
    chosen = Rules(**{**rules, "guard_columns": tuple(rules.get("guard_columns", ()))})
    known = versions or {}
    premises = [conditions(known, baseline, candidate), distinct(known, baseline, candidate)]
    slices = slices_of(asked, chosen.guard_columns, "guard_columns")
    return _decide(item_table(asked), graded, baseline, candidate, chosen, premises, slices)


def stratify(
    items: Rows, classifier: str | Path | None = None, *, threshold: float | None = None
) -> list[dict[str, Any]]:
    """`items` as a list of rows with reasoning_prob, is_reasoning and reasoning_threshold set.

    `classifier` is the folder of a trained one (`biomed-r1 classify`); None trains the default on the shipped samples
    once and keeps it below BIOMED_R1_HOME. `threshold` replaces the classifier's own. Needs the extra `run` (torch).
    Raises InputError for a folder that is no classifier.
    """
    from components.classifier.model import ReasoningClassifier
    from components.questions.items import item_row
    from components.stages.stratify import StratifyConfig, default_classifier

    rows = _items(items)
    settings = StratifyConfig()
    model = ReasoningClassifier.open(Path(classifier) if classifier else default_classifier())
    probabilities, _ = model.score(rows, settings.max_length, settings.dtype)
    cut = model.threshold if threshold is None else threshold
    return [
        {**item_row(item), "reasoning_prob": float(p), "is_reasoning": bool(p >= cut), "reasoning_threshold": cut}
        for item, p in zip(rows, probabilities, strict=True)
    ]


def _rows(given: Rows) -> list[Row]:
    found = given if isinstance(given, Iterable) and not hasattr(given, "to_dict") else given.to_dict("records")
    return list(found)


def _items(given: Rows) -> list[Item]:
    return [parse_item(row, f"items: row {number}") for number, row in enumerate(_rows(given), start=1)]


def _marked(items: Sequence[Item], answers: Rows) -> Marked:
    return mark(items, ((f"answers: row {number}", row) for number, row in enumerate(_rows(answers), start=1)))


def _graded(items: Sequence[Item], answers: Rows) -> Answers:
    return outcomes_of(_marked(items, answers), len(items))


def _both(graded: Answers, *names: str) -> Answers:
    for name in names:
        if name not in graded:
            raise InputError(f"no answers of {name!r}; there are answers of {', '.join(sorted(graded))}")
    return graded
