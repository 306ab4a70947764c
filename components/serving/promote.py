"""Promote: make a registered version the champion, if everything that is known speaks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal

from components.errors import ConflictError, InputError
from components.platform import faults
from components.platform.checks.findings import found as findings
from components.platform.checks.object_store import check_conditions
from components.platform.storage import ledger
from components.serving import audit, decisions, versions
from components.serving.files import verified
from components.serving.pointer import Changed, Pointer, Proposed, Served, What, first, move, now, read, said

Promotion = Literal["manual", "auto"]
Result = Literal["promoted", "refused", "proposed", "already", "rolled back"]
# What a reason begins with that is one of the gate's own.
REFUSED_BY_GATE = "the gate refused it"


@dataclass(frozen=True)
class Asked:
    """Who wants a version promoted, and how.

    `promotion` is the recipe's word: `manual` leaves the version proposed for a person's sign-off. `soak` leaves it
    proposed for that long; the same call after that time promotes it. `approve` is the sign-off of what is proposed,
    `force` overrules the gate, a stale baseline and an earlier rejection (never damaged files). `run` is the pipeline
    run that asks.
    """

    by: str
    why: str = ""
    run: str = ""
    promotion: Promotion = "manual"
    soak: timedelta = timedelta()
    force: bool = False
    approve: bool = False
    dry_run: bool = False

    def __post_init__(self) -> None:
        if (self.force or self.approve) and not self.why.strip():
            raise InputError("promote: --force and --approve need --reason: it is logged as the sign-off")

    def changed(self, what: What) -> Changed:
        return Changed(by=self.by, at=now(), what=what, why=self.why, run=self.run)


@dataclass(frozen=True)
class Outcome:
    """What came of it: `reasons` say why (of a refusal each one), `warnings` what is left to repair.

    `serial` is the pointer's after it, None where there is none.
    """

    outcome: Result
    version: str
    reasons: tuple[str, ...] = ()
    serial: int | None = None
    warnings: tuple[str, ...] = ()


def promote(root: str, name: str, version: str | None, asked: Asked) -> Outcome:
    """Promote, propose or refuse `version` of the registered model `name` (None: the version that is proposed).

    Raises DamagedError for files that are gone or altered, ConflictError (exit code 4) when another moved the pointer
    first, InputError for a version that does not exist and for a store whose conditional writes do not hold,
    UnavailableError when store or registry do not answer. Nothing is half moved: the same call again ends well.
    """
    found = read(root, name)
    if version is None:
        if found is None or found[0].proposed is None:
            raise InputError(f"{name}: no version is proposed; name one: `biomed-r1 promote VERSION --reason ...`")
        version = found[0].proposed.version
    elif asked.approve and (found is None or found[0].proposed is None or found[0].proposed.version != version):
        proposed = found[0].proposed if found else None
        is_now = f"version {proposed.version} is" if proposed else "no version is"
        raise ConflictError(f"{name}: {is_now} proposed, not {version}; look at `biomed-r1 models`, then decide again")
    candidate = versions.served(name, version)
    outcome = settle(root, name, candidate, asked, None if found and found[0].champion else versions.adopted(name))
    if asked.dry_run or outcome.outcome in ("refused", "proposed"):
        return outcome
    return replace(outcome, warnings=(*outcome.warnings, *versions.project(root, name)))


def settle(root: str, name: str, candidate: Served, asked: Asked, adopted: Served | None = None) -> Outcome:
    """`promote` without the registry: decide about `candidate` and move the pointer.

    `adopted` is the champion where no pointer names one. Raises as `promote` does.
    """
    found = read(root, name)
    pointer, etag = found or (None, None)
    champion = pointer.champion if pointer and pointer.champion else adopted
    outcome = Outcome("promoted", candidate.version, serial=pointer.serial if pointer else None)
    if champion and (champion.version, champion.digest) == (candidate.version, candidate.digest):
        if pointer and pointer.champion:
            audit.complete(root, name)
            return replace(outcome, outcome="already", reasons=(f"version {candidate.version} is the champion",))
        asked = replace(asked, why=asked.why or "taken over from MLflow's alias", promotion="auto", soak=timedelta())
        reasons: list[str] = []
    else:
        verified(candidate.uri, candidate.digest)
        reasons = [] if asked.force else refusals(root, name, candidate, champion, pointer)
    if reasons:
        return replace(outcome, outcome="refused", reasons=tuple(reasons))
    waits = _waits(candidate, asked, pointer)
    if waits and pointer and pointer.proposed and pointer.proposed.digest == candidate.digest:
        audit.complete(root, name)
        return replace(outcome, outcome="proposed", reasons=(_proposed(pointer.proposed),))
    state = _next(candidate, waits, asked, pointer, champion)
    result: Result = "proposed" if waits else "promoted"
    if asked.dry_run:
        return replace(outcome, outcome=result, reasons=("nothing was changed: --dry-run",))
    check_store(root)
    faults.point("promotion decided")
    move(root, name, etag, state)
    text = _proposed(state.proposed) if state.proposed and waits else said(state)
    return replace(outcome, outcome=result, reasons=(text,), serial=state.serial)


def refusals(root: str, name: str, candidate: Served, champion: Served | None, pointer: Pointer | None) -> list[str]:
    """Why a version may not be promoted as things stand: an earlier rejection, the gate, a stale baseline."""
    reasons = []
    if pointer and (entry := pointer.rejection(candidate)):
        which = f" as version {entry.version}" if entry.version and entry.version != candidate.version else ""
        reasons.append(f"its content was rejected{which} at {entry.at}: {entry.why}")
    if not candidate.decision:
        return [*reasons, "no decision of the gate is on record; register it again with its decision.json"]
    decision = decisions.read(candidate.decision)
    if decision.get("decision") != "promote":
        failed = [str(reason["text"]) for reason in decision.get("reasons", []) if not reason.get("passed")]
        reasons += [f"{REFUSED_BY_GATE}: {text}" for text in failed or [decision.get("verdict", "see its decision")]]
    if (about := decisions.weights(decision, "candidate")) != candidate.weights:
        reasons.append(f"its decision is about other weights ({about[:12] or 'none named'}): evaluate and compare it")
    elif not _counted(root, decision):
        reasons.append(
            f"its decision, as number {decision.get('look')} by these rules, is not in the ledger of {root}: compare "
            f"again with `--ledger {root}`, and register that decision"
        )
    if champion and (baseline := decisions.weights(decision, "baseline")) != champion.weights:
        was = _version_of(root, name, baseline) or f"{decision.get('baseline')} ({baseline[:12] or 'no weights named'})"
        reasons.append(f"decided against {was}, champion is {champion.version}: evaluate again")
    return reasons


def _counted(root: str, decision: Mapping[str, Any]) -> bool:
    """Whether the look of a decision was reserved: one that nobody counted could have any level."""
    rules = {name: setting.get("value") for name, setting in (decision.get("rules") or {}).items()}
    baseline = decisions.weights(decision, "baseline") or ledger.UNKNOWN
    return ledger.holds(root, baseline, decisions.weights(decision, "candidate"), int(decision.get("look") or 0), rules)


def check_store(root: str) -> None:
    """Raise InputError unless conditional writes hold in this store, eight at once, and the clock is near its own."""
    if not root.startswith("s3://"):
        return  # files, under a lock
    failed = [str(f) for f in findings("S3", partial(check_conditions, root)) if f.level == "failed"]
    if failed:
        raise InputError("nothing is promoted in a store where a pointer is not safe:\n" + "\n".join(failed))


def _version_of(root: str, name: str, weights: str) -> str:
    """The version, in words, that served with these weights; "" where none did."""
    states = audit.walk(root, name) if weights else []
    found = [state.champion for state in states if state.champion and state.champion.weights == weights]
    return f"version {found[-1].version}" if found else ""


def _waits(candidate: Served, asked: Asked, pointer: Pointer | None) -> bool:
    """Whether the version is (or stays) proposed instead of promoted."""
    if asked.approve or asked.force:
        return False
    if not asked.soak:
        return asked.promotion == "manual"
    proposed = pointer.proposed if pointer else None
    if proposed is None or proposed.digest != candidate.digest or not proposed.until:
        return True
    return datetime.fromisoformat(proposed.until) > datetime.now(UTC)


def _next(candidate: Served, waits: bool, asked: Asked, pointer: Pointer | None, champion: Served | None) -> Pointer:
    """The state of the pointer that follows."""
    if waits:
        until = now(asked.soak) if asked.soak else ""
        proposed = Proposed(**candidate.model_dump(), at=now(), by=asked.by, why=asked.why, until=until)
        changes: dict[str, Any] = {"proposed": proposed, "champion": champion}
        changed = asked.changed("proposed")
    else:
        same = champion is not None and champion.digest == candidate.digest and champion.version == candidate.version
        kept = tuple(entry for entry in (pointer.rejected if pointer else ()) if entry.digest != candidate.digest)
        kept = tuple(entry for entry in kept if not entry.weights or entry.weights != candidate.weights)
        changes = {"champion": candidate, "proposed": None, "rejected": kept}
        changes["previous"] = None if same else champion
        changed = asked.changed("promoted")
    return pointer.after(changed, **changes) if pointer else first(changed, **changes)


def _proposed(proposed: Proposed) -> str:
    if proposed.until:
        return f"version {proposed.version} is proposed until {proposed.until}; the same command then promotes it"
    return (
        f"version {proposed.version} is proposed since {proposed.at}; sign it off with "
        f"`biomed-r1 promote {proposed.version} --approve --reason ...`"
    )
