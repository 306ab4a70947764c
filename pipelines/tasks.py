"""The names of the training pipeline's tasks, apart from the pipeline so that reading them costs no import of kfp."""

from __future__ import annotations

# Every task must leave a receipt under its name here (design D13).
TASKS = (
    "ingest",
    "classify",
    "stratify",
    "curate",
    "sft",
    "grpo",
    "evaluate-base",
    "evaluate-sft",
    "evaluate-grpo",
    "evaluate-champion",
    "compare",
    "report",
    "register",
)
