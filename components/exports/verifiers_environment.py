"""The environment of `verifiers`: `biomed-r1 export --to verifiers` puts a copy beside the questions.

Rewards are those of `biomed-r1 grpo`, with its weights; `correctness` of an item is its `correct` in `biomed-r1 score`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import biomed_r1_questions
import verifiers as vf
from datasets import Dataset

import biomed_r1

WEIGHTS = {"correctness": 1.0, "format": 0.2, "self_correction": 0.5}


def load_environment(stratum: str = "all", benchmark: str = "all", setting: str = "plain") -> Any:
    """A single-turn environment of the questions of a stratum (reasoning, knowledge, unstratified, all) and benchmark.

    `setting` is plain or adversarial_0 to adversarial_2: then the model has to continue a wrong opening.
    """
    rows = biomed_r1_questions.questions(stratum, benchmark, setting)
    data = Dataset.from_list(
        [
            {
                "prompt": row["messages"],
                "answer": row["answer_idx"],
                # As text: options have different letters, which Arrow would fill up with nulls.
                "info": json.dumps(
                    {name: row[name] for name in ("id", "stratum", "benchmark", "options")}
                    | {"setting": setting, "opening": row["openings"].get(setting, "")},
                    ensure_ascii=False,
                ),
            }
            for row in rows
        ]
    )
    arguments: dict[str, Any] = {"temperature": 0.0, "max_tokens": biomed_r1_questions.manifest()["max_new_tokens"]}
    if setting != "plain":
        arguments["extra_body"] = biomed_r1_questions.CONTINUE
    rubric = vf.Rubric(funcs=[correctness, answer_format, self_correction], weights=list(WEIGHTS.values()))
    return vf.SingleTurnEnv(dataset=data, rubric=rubric, sampling_args=arguments)


def correctness(completion: Sequence[Any], answer: str, info: Mapping[str, Any]) -> float:
    """1 for the right letter, 0 otherwise."""
    return _reward("correctness", completion, answer, info)


def answer_format(completion: Sequence[Any], answer: str, info: Mapping[str, Any]) -> float:
    """1 for one line `The answer is X.` at the end, 0.5 for another answer that can be extracted."""
    return _reward("format", completion, answer, info)


def self_correction(completion: Sequence[Any], answer: str, info: Mapping[str, Any]) -> float:
    """After a wrong opening 1 for the right answer, -1 for the opening's; 0 without an opening."""
    return _reward("self_correction", completion, answer, info)


def _reward(name: str, completion: Sequence[Any], answer: str, info: Mapping[str, Any]) -> float:
    text = "".join(str(m["content"] or "") for m in completion if m["role"] == "assistant")
    return biomed_r1.rewards(text, info["options"], answer, info["opening"])[name] or 0.0
