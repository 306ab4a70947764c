"""The gate's reasons: rule by rule, what was measured, the bound it had to clear, and whether it holds."""

from __future__ import annotations

from components.report.charts import Dot, Group, around_zero, dots
from components.report.page import Cell, Figure, Section, Table
from components.report.scores import Record
from components.report.tables import interval, questions_cell
from components.report.wording import has_interval, is_number, percent, points, signed

_CLAIMS = {"_not_inferior": "not worse", "_superior": "better"}  # endings of rules that measure a difference


def section(decision: Record | None) -> Section:
    """Why the candidate was promoted or refused; left out where nothing was decided."""
    if decision is None:
        return Section("gate", "The gate's reasons", absent="No decision was given: no candidate was put to the gate.")
    figure, sentences = gate_figure(decision), gate_sentences(decision)
    return Section("gate", "The gate's reasons", sentences, [figure] if figure else [], [gate_table(decision)])


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
    return f"the rule {rule.replace('_', ' ')} does not hold"


def gate_sentences(decision: Record) -> list[str]:
    """Verdict by verdict, and how strict this decision was because of earlier ones."""
    out = []
    failed = [r for r in rules(decision) if not r.get("passed")]
    held = [r for r in rules(decision) if r.get("passed")]
    if failed:
        out.append(f"{len(failed)} of {len(failed) + len(held)} rules do not hold; one would be enough to refuse.")
    elif held:
        out.append(f"All {len(held)} rules hold.")
    out += [f"{text[:1].upper()}{text[1:]}." for text in map(failure, failed)]
    out += [
        str(r.get("text")) + "." for r in decision.get("reasons") or [] if r.get("rule") == "look" and r.get("text")
    ]
    return out


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
                Cell(_signed(reason, "estimate"), interval(reason, signed=is_difference(reason))),
                Cell(_signed(reason, "bound")),
                Cell(f"{reason['p']:.3g}" if is_number(reason.get("p")) else "–"),
                questions_cell(reason),
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
    if is_difference(reason):
        return signed(reason[name])
    return percent(reason[name]) if has_interval(reason) else f"{reason[name]:.3g}"
