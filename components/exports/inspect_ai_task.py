"""The task of inspect_ai: `biomed-r1 export --to inspect-ai` puts a copy beside the questions as task.py.

An answer is marked by the same extraction as `biomed-r1 score`, so that `correct` of an item is its `correct` there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageUser, GenerateConfig
from inspect_ai.scorer import Score, Scorer, Target, accuracy, grouped, mean, scorer, stderr
from inspect_ai.solver import TaskState, generate

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for the copy of questions.py
import biomed_r1_questions

import biomed_r1

# One `grouped` only: inspect_ai 0.3.285 reports one of several.
_BY_STRATUM = grouped(accuracy(), "stratum", all=False)


@task
def biomed_r1_task(stratum: str = "all", benchmark: str = "all", setting: str = "plain") -> Task:
    """Greedy answers to the questions of a stratum (reasoning, knowledge, unstratified, all) and a benchmark.

    `setting` is plain or adversarial_0 to adversarial_2: then the model has to continue a wrong opening.
    """
    rows = biomed_r1_questions.questions(stratum, benchmark, setting)
    samples = [
        Sample(
            id=row["id"],
            input=[_message(m) for m in row["messages"]],
            target=row["answer_idx"],
            metadata={"options": row["options"], "stratum": row["stratum"], "benchmark": row["benchmark"]},
        )
        for row in rows
    ]
    return Task(
        dataset=MemoryDataset(samples, name=f"biomed_r1_{stratum}_{benchmark}_{setting}"),
        solver=generate(),
        scorer=extracted_letter(),
        config=GenerateConfig(
            temperature=0.0,
            max_tokens=biomed_r1_questions.manifest()["max_new_tokens"],
            extra_body=None if setting == "plain" else biomed_r1_questions.CONTINUE,
        ),
    )


@scorer(metrics={"correct": [accuracy(), stderr(), _BY_STRATUM], "no_answer": [mean()]})
def extracted_letter() -> Scorer:
    """Right or wrong, and whether the answer names no option (which counts as wrong)."""

    async def score(state: TaskState, target: Target) -> Score:
        letter = biomed_r1.extract(state.output.completion, state.metadata["options"])
        marks = {"correct": int(letter == target.text), "no_answer": int(letter is None)}
        return Score(value=marks, answer=letter)

    return score


def _message(message: dict[str, str]) -> ChatMessage:
    kind = ChatMessageUser if message["role"] == "user" else ChatMessageAssistant
    return kind(content=message["content"])
