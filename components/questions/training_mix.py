"""Training examples from items with traces: plain ones, and ones that begin wrong and are then corrected."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence, Set
from typing import Any

from components.errors import InputError
from components.extraction import extract
from components.questions.items import SOURCE_FILE, Item, group_of
from components.questions.prefills.templates import make_openings
from components.questions.prompts import messages_json

# {W} is the wrong option's letter. Each takes the opening back without saying what the answer is: the trace does that.
CORRECTIONS = (
    "Wait, I should not settle on {W} before checking it against the question.",
    "But that was only a first impression, so let me work through it properly.",
    "Let me stop there and test {W} against what the question actually says.",
    "On reflection, I said that too quickly. Let me go through the facts first.",
    "Still, an instinct is not a reason. Let me see whether {W} holds up.",
    "Actually, let me set {W} aside and start from the findings.",
    "Hold on, nothing so far supports {W}. Let me reason it out.",
    "That needs checking before I commit to it.",
)
_ANSWER_SENTENCE = re.compile(
    r"(?:^|(?<=[.!?])\s+|\n\s*)(?:(?:so|therefore|thus|hence),?\s+)?(?:the\s+)?(?:final\s+|correct\s+)?answer"
    r"(?:\s+is\s*:?|\s*:)\s*\(?[A-Z]\)?\s*\.?\s*$",
    re.IGNORECASE,
)


def answer_line(letter: str) -> str:
    """The last line of every completion: the form that the prompts ask for and extraction declares unambiguous."""
    return f"The answer is {letter}."


def trace_problem(item: Item, max_characters: int | None = None) -> str | None:
    """Why the item's trace cannot be learnt from, or None: "no_trace", "too_long" or "disagrees" (another answer)."""
    trace = (item.reasoning or "").strip()
    if not trace:
        return "no_trace"
    if max_characters is not None and len(trace) > max_characters:
        return "too_long"
    if extract(trace, item.options) not in (None, item.answer_idx):
        return "disagrees"
    # A trace that argues in prose for another option is caught only if it declares it; the completion must still be
    # read as the right answer by the rule that will score the model.
    return None if extract(completion(item), item.options) == item.answer_idx else "disagrees"


def completion(item: Item, correction: str = "") -> str:
    """The trace, after a correction if there is one, ending in the declared answer line."""
    trace = _ANSWER_SENTENCE.sub("", (item.reasoning or "").strip()).strip()
    start = f" {correction} " if correction else ""
    return f"{start}{trace}\n\n{answer_line(item.answer_idx)}"


def plain_example(item: Item, style: str) -> dict[str, Any]:
    """A row of sft.parquet: the question, and the trace as the whole reply."""
    return _example(item, style, opening="", text=completion(item), kind="plain")


def corrected_example(item: Item, style: str, seed: int) -> dict[str, Any] | None:
    """A row whose reply opens with a wrong statement that the completion takes back before the trace.

    None where the item allows no usable wrong opening.
    """
    opening, letter = wrong_opening(item, seed)
    if not opening:
        return None
    rng = random.Random(f"{seed}|correction|{item.id}")
    text = completion(item, rng.choice(CORRECTIONS).replace("{W}", letter))
    if extract(text, item.options) != item.answer_idx:
        return None
    return _example(item, style, opening=opening, text=text, kind="corrected")


def rl_example(item: Item, style: str, seed: int, adversarial: bool) -> dict[str, Any]:
    """A row of rl.parquet: a question to be answered from nothing, or from a wrong opening."""
    return {
        "id": item.id,
        "group_id": group_of(item),
        "question": item.question,
        "options": json.dumps(item.options, ensure_ascii=False),
        "answer_idx": item.answer_idx,
        "opening": wrong_opening(item, seed)[0] if adversarial else "",
        "prompt": messages_json(item, style),
    }


def wrong_opening(item: Item, seed: int) -> tuple[str, str]:
    """A wrong opening from the training half of the templates and the letter it names; ("", "") where none fits.

    An item's own openings are not used: those may come from the half, or the model, that evaluation asks with.
    """
    try:
        opening = make_openings(item, seed, "training")[0]
    except InputError:
        return "", ""
    named = [x for x in item.wrong_letters() if f"{x}, {' '.join(item.options[x].split()).rstrip('.')}" in opening]
    return opening, named[0] if named else ""


def choose(
    items: Sequence[Item],
    usable: Set[str],
    prob: Mapping[str, float],
    min_prob: float,
    sft_size: int,
    rl_size: int,
    seed: int,
) -> tuple[list[Item], list[Item]]:
    """Items of the SFT set (`usable`: ids with a trace to learn from) and of the RL set, of disjoint groups.

    Both come from one pool: a seeded sample of the items with prob >= min_prob and, where those run out, the others by
    falling probability. SFT takes the usable ones of the pool first, then usable ones beyond it. One item a group;
    where there are too few groups for both sets, both shrink in proportion.
    """
    best: dict[str, Item] = {}
    traced: dict[str, Item] = {}
    for item in _preferred(items, prob, min_prob, seed):
        best.setdefault(group_of(item), item)
        if item.id in usable:
            traced.setdefault(group_of(item), item)
    fair = round(len(best) * sft_size / (sft_size + rl_size))
    sft_size = min(sft_size, len(traced), max(fair, len(best) - rl_size))
    pool = dict.fromkeys(list(best)[: sft_size + rl_size])
    order = sorted((g for g in traced if g in pool), key=lambda g: seeded_rank(g, seed))
    order += [g for g in traced if g not in pool]
    for_sft = set(order[:sft_size])
    for_rl = [g for g in best if g not in for_sft][:rl_size]
    return [traced[g] for g in traced if g in for_sft], [best[g] for g in for_rl]


def pick(
    items: Sequence[Item], usable: Set[str] | None, prob: Mapping[str, float], min_prob: float, size: int, seed: int
) -> list[Item]:
    """At most `size` items of one set's own source, one a group, reasoning-heavy ones first, in seeded order.

    `usable`: ids that can be taken; None takes any.
    """
    best: dict[str, Item] = {}
    for item in _preferred(items, prob, min_prob, seed):
        if usable is None or item.id in usable:
            best.setdefault(group_of(item), item)
    return list(best.values())[:size]


def is_from(item: Item, sources: Sequence[str]) -> bool:
    """Whether an item belongs to one of these sources: by its `dataset_name`, or by the folder or the name of the
    file that it was read from (`m23k_clean/train-00000.parquet`, `m23k_clean.jsonl`, `m23k_clean-00000.parquet`)."""
    folder, _, name = str(item.meta.get(SOURCE_FILE, "")).partition("/")
    return any(
        source in (item.dataset_name, folder) or name.startswith((f"{source}.", f"{source}-")) for source in sources
    )


def take_share(items: Sequence[Item], share: float, seed: int) -> set[str]:
    """Ids of round(share × n) of the items, by a seeded hash of the id, so that a larger share only adds."""
    ranked = sorted(items, key=lambda item: seeded_rank(item.id, seed))
    return {item.id for item in ranked[: round(share * len(ranked))]}


def seeded_rank(name: str, seed: int) -> str:
    """A key that sorts names in an order that depends on nothing but them and the seed."""
    return hashlib.sha256(f"{seed}|{name}".encode()).hexdigest()


def _preferred(items: Sequence[Item], prob: Mapping[str, float], min_prob: float, seed: int) -> list[Item]:
    """Those with prob >= min_prob in seeded order, then the others by falling probability."""
    return sorted(items, key=lambda i: (-min(prob[i.id], min_prob), seeded_rank(group_of(i), seed), i.id))


def _example(item: Item, style: str, opening: str, text: str, kind: str) -> dict[str, Any]:
    return {
        "id": item.id,
        "group_id": group_of(item),
        "prompt": messages_json(item, style),
        "opening": opening,
        "completion": text,
        "letter": item.answer_idx,
        "kind": kind,
    }
