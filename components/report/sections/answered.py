"""What was not answered, and how the answers that were given were read: bounds, rules, letters and the probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.report.page import Cell, Section, Table
from components.report.scores import Record, Scores, short_setting
from components.report.survey import Place, Survey
from components.report.tables import accuracy_cell, count, questions_cell, row_head, row_name
from components.report.wording import is_number, percent, points, spread
from components.scoring.readings import Letters, Probed

Counts = Mapping[Place, float]
WORTH = 0.1  # picked more often than the key, as a share, that is worth a sentence: our choice
RULES_SHOWN = 12
NO_LETTER = {  # what the reader of outputs says where it read no letter
    "none": "no option named",
    "empty": "nothing written",
    "ambiguous": "several options named",
    "no_such_option": "an option that is not there",
    "unclosed_thought": "a thought that never ends",
}


def section(scores: Scores, seen: Survey, metadata: Mapping[str, Mapping[str, str]]) -> Section:
    """Unanswered questions with the bounds they leave; how answers were read, where there are answers."""
    found: list[Table | None] = [strata_table(scores, seen.withheld, seen.too_long), bounds_table(scores)]
    found += [rules_table(scores, seen.rules), letters_table(scores, seen.letters)]
    found += [probe_table(scores, seen.probes, metadata)]
    sentences = [*letter_sentences(scores, seen.letters), *probe_sentences(scores, seen.probes, metadata)]
    tables = [table for table in found if table]
    return Section("answered", "No answer, and how answers were read", sentences, [], tables)


def strata_table(scores: Scores, withheld: Counts | None = None, too_long: Counts | None = None) -> Table:
    """Accuracy of every model by stratum and setting, over all benchmarks, with what was not answered.

    `withheld` counts, by model, setting and stratum, the answers that an endpoint's content filter ended, and
    `too_long` the questions that did not fit the model's context; each has a column where there is one.
    """
    ends = {name: counts for name, counts in (("Withheld", withheld), ("Too long", too_long)) if counts}
    rows: list[tuple[Cell, ...]] = []
    starts: set[int] = set()
    for model in scores.models:
        starts.add(len(rows))
        for setting in scores.shown([model]):
            for stratum in scores.strata:
                if (cell := scores.cell(model, setting, stratum)) is None:
                    continue
                # Without a recorded end it is not known whether one was withheld or too long either.
                known = 0 if is_number(cell.get("truncated")) else None
                ended = [counts.get((model, setting, stratum), known) for counts in ends.values()]
                rows.append(
                    (
                        row_name(scores, model, f"{short_setting(setting)}, {stratum}"),
                        accuracy_cell(cell),
                        Cell(percent(unread_right(cell))),
                        Cell(percent(cell.get("accuracy_answered"))),
                        Cell(percent(cell.get("chance"))),
                        questions_cell(cell),
                        Cell(_share(cell, cell.get("no_answer"))),
                        Cell(_share(cell, cell.get("truncated"))),
                        *(Cell(_share(cell, number)) for number in ended),
                        Cell(count(cell.get("not_asked"))),
                    )
                )
    head = [row_head(scores), "Accuracy", "Unread as right", "Of answered", "Chance", "Questions", "No answer"]
    head += ["Cut off", *ends, "Not asked"]
    note = (
        "Accuracy counts an output without a recognisable answer as wrong; unread as right counts each as right."
        " The truth lies between the two, whatever the outputs meant. Small figures are 95 % intervals by question"
        " group."
    )
    if any("adversarial" in scores.opened(model) for model in scores.models):
        note += (
            " Adversarial: mean over the three prefills of each question. An answer that adds nothing to a prefill is "
            "wrong in both columns, since the prefill then stands."
        )
    if withheld:
        note += " Withheld: the endpoint's content filter ended the answer; what it let through was marked like any."
    if too_long:
        note += " Too long: the question did not fit the model's context with its answer; it counts as not answered."
    return Table("Accuracy over all benchmarks", tuple(head), tuple(rows), note, frozenset(starts), compact=True)


def unread_right(cell: Record) -> float | None:
    """The accuracy if every unread answer were right; older scores give it without weighing copies."""
    if is_number(cell.get("accuracy_unread_right")):
        return float(cell["accuracy_unread_right"])
    if not is_number(cell.get("accuracy")) or not cell["n"]:
        return None
    return min(1.0, float(cell["accuracy"]) + float(cell.get("no_answer") or 0) / float(cell["n"]))


def bounds_table(scores: Scores) -> Table | None:
    """For every accuracy with unread answers: what it would be if all of them were wrong, and right."""
    columns = [(m, s) for m in scores.models for s in scores.shown([m])]
    rows = []
    for benchmark in [*scores.benchmarks, "all", "macro"]:
        for stratum in scores.strata:
            cells = [scores.cell(m, s, stratum, benchmark) for m, s in columns]
            texts = [_bounds(cell) for cell in cells]
            if any(" to " in text for text in texts):
                name = {"all": "All questions", "macro": "Mean of benchmarks"}.get(benchmark, benchmark)
                rows.append((Cell(name, stratum), *map(Cell, texts)))
    head = (
        "Benchmark",
        *(f"{m}, {short_setting(s)}" if len(scores.models) > 1 else short_setting(s).capitalize() for m, s in columns),
    )
    caption = "Accuracy if all unread answers were wrong, and if all were right, in percent"
    note = "One figure: every answer was read, or a prefill stands. These are bounds on reading, not intervals."
    return Table(caption, head, tuple(rows), note, compact=True, folded=True) if rows else None


def _bounds(cell: Record | None) -> str:
    if cell is None or not is_number(cell.get("accuracy")):
        return "–"
    low, high = f"{100 * cell['accuracy']:.1f}", f"{100 * (unread_right(cell) or 0.0):.1f}"
    return low if low == high else f"{low} to {high}"


def rules_table(scores: Scores, rules: Mapping[str, Mapping[str, int]]) -> Table | None:
    """The share of each model's answers that each reading rule read, and why the others were not read."""
    models = [model for model in scores.models if model in rules]
    if not models:
        return None
    totals = {
        name: sum(rules[m].get(name, 0) for m in models) for name in dict.fromkeys(n for m in models for n in rules[m])
    }
    read = sorted((n for n in totals if n not in NO_LETTER), key=lambda n: (-totals[n], n))
    unread = [name for name in NO_LETTER if name in totals]
    shown, rest = read[:RULES_SHOWN], read[RULES_SHOWN:]

    def cells(names: Sequence[str]) -> tuple[Cell, ...]:
        counts = [(sum(rules[m].get(n, 0) for n in names), sum(rules[m].values())) for m in models]
        return tuple(Cell(percent(own / of), count(own)) for own, of in counts)

    rows = [(Cell(_rule(name)), *cells([name])) for name in shown]
    rows += [(Cell(f"{len(rest)} other rules"), *cells(rest))] if rest else []
    start = len(rows)
    rows += [(Cell(NO_LETTER[name], "not read"), *cells([name])) for name in unread]
    note = (
        "Of all answers of a model, with and without prefills; read anew by the present rules, whatever the file says."
    )
    caption = "How answers were read: share by rule"
    return Table(caption, ("Rule", *models), tuple(rows), note, frozenset({start}), compact=True, folded=True)


def _rule(name: str) -> str:
    return name.replace("_", " ")


def letter_sentences(scores: Scores, found: Mapping[str, Letters]) -> list[str]:
    """Models that pick one letter more often than it is the key, by WORTH beyond error."""
    out = []
    for model in scores.models:
        own = found.get(model)
        if own and own.most and own.most.low > WORTH:
            letter = own.most.letter
            out.append(
                f"{model} picks {letter} in {percent(own.picked[letter])} of its plain answers; {letter} is the key of "
                f"{percent(own.keys[letter])} of these questions (difference {points(own.most.estimate)}, "
                f"{spread(own.most.low, own.most.high, True)})."
            )
    return out


def letters_table(scores: Scores, found: Mapping[str, Letters]) -> Table | None:
    """How often each model picks each letter, beside how often the letter is the key of the same questions."""
    models = [m for m in scores.models if m in found]
    names = sorted({letter for m in models for letter in found[m].picked})
    if not names:
        return None
    # Models that answered different questions have different keys.
    keys = [found[m].keys for m in models]
    same = all(key == keys[0] for key in keys)
    rows = []
    for name in names:
        cells = [
            Cell(
                percent(found[m].picked.get(name, 0.0)), "" if same else f"key {percent(found[m].keys.get(name, 0.0))}"
            )
            for m in models
        ]
        rows.append((Cell(name), *([Cell(percent(keys[0].get(name, 0.0)))] if same else []), *cells))
    rows.append((Cell("Answers"), *([Cell("")] if same else []), *(Cell(count(found[m].n)) for m in models)))
    head = ("Letter", *(["Key"] if same else []), *models)
    note = "Of the plain answers that name an option. Key: how often the letter is right among the same questions."
    return Table(
        "Which letters are picked", head, tuple(rows), note, frozenset({len(rows) - 1}), compact=True, folded=True
    )


def probe_sentences(
    scores: Scores, found: Mapping[str, Probed], metadata: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """What the probe measures and what it does not change, and which models were not asked, with the reason."""
    out = []
    if any(m in found for m in scores.models):
        out.append(
            "A share of the answers was asked once more for the letter alone (the probe), to measure the rule that "
            "reads outputs. The probe changes no accuracy, gap or decision on this page: all of them rest on the rule."
        )
    for model in scores.models:
        said = str((metadata.get(model) or {}).get("probe", ""))
        if model not in found and said.startswith("not asked"):
            out.append(f"The probe of {model} was {said}.")
    return out


def probe_table(scores: Scores, found: Mapping[str, Probed], metadata: Mapping[str, Mapping[str, str]]) -> Table | None:
    """Rule against probe, by model."""
    rows = []
    for model in scores.models:
        if (own := found.get(model)) is None:
            continue
        differ = own.differ
        rows.append(
            (
                Cell(model, str((metadata.get(model) or {}).get("probe", "")).split(",")[0]),
                Cell(count(own.n)),
                Cell(count(differ.of)),
                Cell(percent(differ.value), spread(differ.low, differ.high) if differ.of else ""),
                Cell(f"{own.rule_right} / {own.probe_right}"),
                Cell(f"{own.unread_right} of {own.unread}" if own.unread else "–"),
            )
        )
    head = ("Model", "Probed", "Read by the rule", "Probe differs", "Rule / probe right there", "Probe right if unread")
    note = (
        "Probe differs: of the answers that the rule read, the share where the probe's letter is another one, with its "
        "95 % interval by question group. One of the two is then wrong about what the answer meant; the "
        "next column says how often either is the key."
    )
    return Table("The reading rule against the probe", head, tuple(rows), note, compact=True) if rows else None


def _share(cell: Record, number: Any) -> str:
    """A count of questions (a sum of means in the adversarial cells) as a share of those asked."""
    return percent(number / cell["n"]) if is_number(number) and cell["n"] else "–"
