"""The gate's reasons: rule by rule, what was measured, the bound it had to clear, and whether it holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from components.report.charts import Dot, Group, around_zero, dots
from components.report.page import Cell, Figure, Section, Table
from components.report.scores import Record, short_setting
from components.report.tables import accuracy_cell, count, interval, questions_cell, words
from components.report.wording import has_interval, is_number, join, percent, points, signed

GUARD = "benchmark_guard"
TOO_SMALL = "cannot pass at this size"  # a verdict of decision.json
_CLAIMS = {"_not_inferior": "not worse", "_superior": "better"}  # endings of rules that measure a difference


def section(decision: Record | None) -> Section:
    """Why the candidate was promoted or refused; left out where nothing was decided."""
    if decision is None:
        return Section("gate", "The gate's reasons", absent="No decision was given: no candidate was put to the gate.")
    figure, sentences = gate_figure(decision), gate_sentences(decision)
    found = [gate_table(decision), *tables(decision)]
    return Section("gate", "The gate's reasons", sentences, [figure] if figure else [], found)


def rules(decision: Record) -> list[Record]:
    """The reasons that can fail; the record of how many decisions were made before is not one of them."""
    return [r for r in decision.get("reasons") or [] if r.get("rule") != "look"]


def failure(reason: Record) -> str:
    """Why a rule of the gate does not hold, as part of a sentence."""
    rule, what = str(reason.get("rule")), subject(reason)
    if not reason.get("n"):
        text = str(reason.get("text") or rule).rstrip(".")
        return text[:1].lower() + text[1:]
    if rule.endswith("_superior"):
        return f"{what} accuracy is not shown to be better"
    if rule.endswith("_not_inferior"):
        return f"a loss of {what} accuracy beyond the margin is not excluded"
    if rule.endswith("_no_answer"):
        setting = rule.removesuffix("_no_answer")
        return f"more than {percent(reason.get('bound'), 0)} of {setting} answers may name no option"
    if rule == GUARD:
        return f"a loss of more than {percent(-reason['bound'], 0)[:-2]} points is shown on a benchmark"
    return f"the rule {rule.replace('_', ' ')} does not hold"


def gate_sentences(decision: Record) -> list[str]:
    """Verdict by verdict, and how strict this decision was because of earlier ones, settings and sealed questions."""
    out = []
    failed = [r for r in rules(decision) if not r.get("passed")]
    held = [r for r in rules(decision) if r.get("passed")]
    if failed:
        out.append(f"{len(failed)} of {len(failed) + len(held)} rules do not hold; one would be enough to refuse.")
    elif held:
        out.append(f"All {len(held)} rules hold.")
    out += size_sentences(decision)
    out += [f"{text[:1].upper()}{text[1:]}." for text in map(failure, failed)]
    out += [
        str(r.get("text")) + "." for r in decision.get("reasons") or [] if r.get("rule") == "look" and r.get("text")
    ]
    if names := changed(decision):
        out.append(f"Changed from the defaults: {join(names)}.")
    return out + seal_sentences(decision) + equivalence_sentences(decision)


def size_sentences(decision: Record) -> list[str]:
    """Which rules have too few questions even for the best that they can be shown, and how many each needs."""
    sizes = decision.get("sizes") or []
    if decision.get("verdict") != TOO_SMALL or not sizes:
        return []
    needs = [
        f"{rule_words(size)} has {size['groups']:,} distinct questions and needs {size['needed']:,} for {_least(size)}"
        for size in sizes
    ]
    return [f"The questions are too few for the gate to pass: {join(needs, '; ')}."]


def _least(size: Record) -> str:
    """What a rule would have to pass, and on so few questions does not."""
    rule = str(size["rule"])
    if rule.endswith("_superior"):
        return "a gain on every question to pass"
    return "identical answers to pass" if rule.endswith("_not_inferior") else "a model that always answers to pass"


def seal_sentences(decision: Record) -> list[str]:
    """On which questions the gate decided; [] where the decision does not say."""
    seal = decision.get("seal")
    if not seal:
        return []
    if not seal["share"]:
        return [
            f"No questions are sealed: the gate decided on all {seal['of']:,}, and reports may quote them. A next "
            "candidate that is trained with what they show has seen the test."
        ]
    return [
        f"The gate decided on {seal['questions']:,} sealed of {seal['of']:,} questions (a share of "
        f"{percent(seal['share'])}, draw number {seal['number']}), which no report quotes."
    ]


def equivalence_sentences(decision: Record) -> list[str]:
    """Whether the two models are equivalent within the margin asked for; [] where it was not asked."""
    found = decision.get("equivalence")
    if not found:
        return []
    pair, within = f"{decision['candidate']} and {decision['baseline']}", f"{100 * found['margin']:g} points"
    if found["equivalent"]:
        return [f"{pair} are equivalent: in every cell a difference of {within} or more is excluded."]
    short = [f"{c['setting']} {c['stratum']}" for c in found["cells"] if not c["equivalent"]]
    where = f" on {join(short)} questions" if short else ": no question was put to both"
    return [f"{pair} are not shown to be equivalent: a difference of {within} or more is not excluded{where}."]


def is_difference(reason: Record) -> bool:
    """Whether a reason of the gate measures candidate minus baseline (others measure a rate or count decisions)."""
    return str(reason.get("rule")).endswith(tuple(_CLAIMS))


def subject(reason: Record) -> str:
    """What a reason of the gate is about, e.g. `adversarial reasoning`."""
    rule = str(reason.get("rule", "rule"))
    for suffix in _CLAIMS:
        rule = rule.removesuffix(suffix)
    return rule.replace("_", " ")


def rule_words(reason: Record) -> str:
    """A rule of the gate as a heading, e.g. `Knowledge not worse`."""
    rule = str(reason.get("rule", "rule"))
    claim = next((f" {words}" for suffix, words in _CLAIMS.items() if rule.endswith(suffix)), "")
    return (subject(reason) + claim).capitalize()


def gate_figure(decision: Record) -> Figure | None:
    """Candidate minus baseline for each rule that measures a difference, with the bound it has to clear."""
    groups, said = [], []
    for r in decision.get("reasons") or []:
        if has_interval(r) and is_number(r.get("estimate")) and is_difference(r):
            dot = Dot("good" if r["passed"] else "bad", r["estimate"], r["ci_low"], r["ci_high"])
            bound = r.get("bound")
            groups.append(Group(rule_words(r), points(r["estimate"]), (dot,), bound if is_number(bound) else None))
            said.append(f"{rule_words(r)} {points(r['estimate'])}, {'holds' if r['passed'] else 'does not hold'}")
    if not groups:
        return None
    label = f"{decision['candidate']} minus {decision['baseline']}, with intervals. " + "; ".join(said) + "."
    drawing = dots(
        label, groups, around_zero(groups), [("good", "holds"), ("bad", "does not hold"), ("mark", "bound")], True
    )
    return Figure(
        drawing, "Candidate minus baseline on the same questions, in points, with intervals and each rule's bound."
    )


def gate_table(decision: Record) -> Table:
    """Every rule of the gate with its figures and its own words."""
    rows = []
    for reason in rules(decision):
        passed = bool(reason.get("passed"))
        rows.append(
            (
                Cell(rule_words(reason)),
                Cell("holds" if passed else "does not hold", kind="good" if passed else "bad"),
                Cell(_signed(reason, "estimate"), interval(reason, signed=_signs(reason))),
                Cell(_signed(reason, "bound")),
                Cell(f"{reason['p']:.3g}" if is_number(reason.get("p")) else "–"),
                questions_cell(reason) if reason.get("n") else Cell("–"),
                Cell(str(reason.get("text") or ""), kind="words"),
            )
        )
    caption = f"Rules of the gate: {decision['candidate']} against {decision['baseline']}"
    note = "Candidate minus baseline in points, paired by question; intervals at the level of this decision."
    head = ("Rule", "Verdict", "Estimate", "Bound", "p", "Questions", "In words")
    return Table(caption, head, tuple(rows), note)


def _signed(reason: Record, name: str) -> str:
    if not is_number(reason.get(name)):
        return "–"
    if _signs(reason):
        return signed(reason[name])
    return percent(reason[name]) if has_interval(reason) else f"{reason[name]:.3g}"


def _signs(reason: Record) -> bool:
    """Whether a reason's figures are differences; the guard's is the one of its worst benchmark."""
    return is_difference(reason) or reason.get("rule") == GUARD


FRACTIONS = ("alpha", "margin", "no_answer_bound", "benchmark_margin")
_MEANING = {
    "alpha": "chance of any false promotion, over all decisions",
    "margin": "loss that still counts as not worse",
    "no_answer_bound": "share of unanswered questions to be excluded",
    "schedule": "how decisions share alpha",
    "horizon": "decisions that share alpha under the schedule horizon",
    "benchmark_margin": "largest loss on one benchmark that may be shown",
    "guard_columns": "columns guarded like benchmarks",
    "level": "level of each rule at this decision",
}


def settings_table(decision: Record) -> Table | None:
    """The settings of the gate, each beside its default; those that were changed are marked."""
    found: Mapping[str, Any] = decision.get("rules") or {}
    rows = [
        (
            Cell(name.replace("_", " "), _MEANING.get(name, "")),
            Cell(_setting(name, setting["value"])),
            Cell(_setting(name, setting["default"])),
            Cell("changed", kind="bad") if setting["changed"] else Cell("as it comes", kind="muted"),
        )
        for name, setting in found.items()
    ]
    head = ("Setting", "Here", "Default", "")
    return (
        Table("Settings of the gate", head, tuple(rows), compact=True, folded=not changed(decision)) if rows else None
    )


def changed(decision: Record) -> list[str]:
    """Settings of the gate that are not the defaults; the level, which follows from others, is not among them."""
    found = decision.get("rules") or {}
    return [name.replace("_", " ") for name, setting in found.items() if setting["changed"] and name != "level"]


def guard_table(decision: Record) -> Table | None:
    """Every guarded benchmark (and value of a guarded column) and setting, the worst first."""
    rows = [
        (
            Cell(cell["value"] if cell["column"] == "dataset_name" else f"{cell['column']}: {cell['value']}"),
            Cell(short_setting(cell["setting"])),
            Cell(signed(cell["estimate"]), interval(cell, True)),
            Cell(f"{cell['p_holm']:.2g}"),
            questions_cell(cell),
            Cell("lost", kind="bad") if cell["lost"] else Cell("no loss shown"),
        )
        for cell in decision.get("guard") or []
    ]
    note = (
        "Candidate minus baseline in points, the most suspicious first. p is one-sided against no loss, adjusted for "
        "all rows (Holm). Rows with fewer than ten questions cannot show a loss and are left out."
    )
    head = ("Benchmark", "Setting", "Difference", "p", "Questions", "Verdict")
    lost = any(cell["lost"] for cell in decision.get("guard") or [])
    return Table("The guard, by benchmark", head, tuple(rows), note, compact=True, folded=not lost) if rows else None


def flips_table(decision: Record) -> Table | None:
    """Right answers that became wrong and wrong ones that became right: all questions, then plain by benchmark."""
    found: Sequence[Record] = decision.get("flips") or []
    whole = [r for r in found if r["benchmark"] == "all"]
    plain = [r for r in found if r["setting"] == "plain" and r["stratum"] == "all" and r["benchmark"] != "all"]
    rows = [
        (
            Cell(
                "All questions" if r["benchmark"] == "all" else r["benchmark"],
                f"{short_setting(r['setting'])}, {r['stratum']}",
            ),
            Cell(count(r["right_to_wrong"])),
            Cell(count(r["wrong_to_right"])),
            Cell(percent((r["right_to_wrong"] + r["wrong_to_right"]) / r["n"]) if r["n"] else "–"),
            Cell(f"{r['p_mcnemar']:.2g}" if is_number(r["p_mcnemar"]) else "–"),
            questions_cell(r),
        )
        for r in (*whole, *plain)
    ]
    note = (
        f"From {decision['baseline']} to {decision['candidate']}, in questions. p is McNemar's exact two-sided one "
        "over question groups; it is not adjusted for the number of rows and decides nothing."
    )
    head = ("Questions", "Right to wrong", "Wrong to right", "Flipped", "p (McNemar)", "Asked")
    return Table("Answers that flipped", head, tuple(rows), note, frozenset({len(whole)}), True, True) if rows else None


def equivalence_table(decision: Record) -> Table | None:
    """Whether the two models are equivalent, cell by cell; None where it was not asked."""
    found = decision.get("equivalence")
    if not found:
        return None
    rows = [
        (
            Cell(f"{short_setting(cell['setting']).capitalize()}, {cell['stratum']}"),
            Cell(signed(cell["estimate"]), interval(cell, True)),
            Cell(f"{cell['p']:.2g}"),
            questions_cell(cell),
            Cell("within the margin", kind="good") if cell["equivalent"] else Cell("not shown", kind="bad"),
        )
        for cell in found["cells"]
    ]
    note = f"Two one-sided tests a row, each at level {found['level']:.2g}; all rows have to hold."
    caption = f"Equivalence within {percent(found['margin'])[:-2]} points"
    return Table(caption, ("Cell", "Difference", "p", "Questions", "Verdict"), tuple(rows), note, compact=True)


def parts_table(decision: Record) -> Table | None:
    """Accuracy on the open and on the sealed questions, side by side; None where nothing is sealed."""
    parts: Sequence[Record] = decision.get("parts") or []
    rows = [
        (
            Cell(part["model"], f"{short_setting(part['setting'])}, {part['stratum']}"),
            accuracy_cell(part["open"]),
            Cell(count(part["open"]["n"])),
            accuracy_cell(part["sealed"]),
            Cell(count(part["sealed"]["n"])),
        )
        for part in parts
    ]
    note = "A model fitted to questions that reports showed is better on the open ones."
    head = ("Model", "Open", "Questions", "Sealed", "Questions")
    return Table("Open and sealed questions side by side", head, tuple(rows), note, compact=True) if rows else None


def tables(decision: Record) -> Iterable[Table]:
    """All of them that the decision has."""
    makers = (equivalence_table, parts_table, settings_table, guard_table, flips_table)
    return [table for make in makers if (table := make(decision)) is not None]


def _setting(name: str, value: Any) -> str:
    if name in FRACTIONS and is_number(value):
        return percent(value)
    return words(value) if value != [] else "none"
