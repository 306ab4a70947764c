"""Writes a folder that inspect_ai or verifiers runs: questions, a record of the export, their code, a README."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Form → our file and its name in the folder. They are copied unread: neither framework is installed with biomed-r1.
CODE = {
    "inspect-ai": ("inspect_ai_task.py", "task.py"),
    "verifiers": ("verifiers_environment.py", "biomed_r1_env.py"),
}
_ROOM = Path(__file__).parent
_READMES = {
    "inspect-ai": """# BioMed-R1 questions for inspect_ai

`pip install inspect_ai` and biomed-r1 into one environment, then:

    inspect eval task.py --model vllm/MODEL -T stratum=reasoning -T setting=plain

`stratum`, `benchmark` and `setting` choose the questions. {settings}
Accuracy is reported in all and by stratum; answers are marked by `biomed_r1.extract`.
""",
    "verifiers": """# BioMed-R1 questions for verifiers

`pip install "verifiers<0.4"` (0.4 has no `load_environment`) and biomed-r1 into one environment, then here:

    PYTHONPATH=. vf-eval biomed-r1-env -m MODEL -b http://localhost:8000/v1 -t {tokens} -a '{{"stratum": "reasoning"}}'

`stratum`, `benchmark` and `setting` choose the questions. {settings}
Rewards: correctness (weight 1), format (0.2), self-correction after a prefill (0.5), by `biomed_r1.rewards`. Do not
train on questions that you evaluate on.
""",
}
_SETTINGS = """Settings in this export: {names}.
An adversarial setting needs a server that continues an assistant's message (vLLM, SGLang). inspect_ai's `hf` provider
and most hosted endpoints begin a new one, which is another experiment."""


def write_folder(form: str, rows: Sequence[Mapping[str, Any]], record: Mapping[str, Any], out: Path) -> None:
    """Write `rows` (see components/exports/questions.py) with the code of `form`, a key of CODE, to `out`.

    `record` has settings, prompt, max_new_tokens, extraction, items_digest.
    """
    out.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (out / "questions.jsonl").write_text(text, encoding="utf-8")
    (out / "export.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    source, name = CODE[form]
    shutil.copyfile(_ROOM / source, out / name)
    shutil.copyfile(_ROOM / "questions.py", out / "biomed_r1_questions.py")
    settings = _SETTINGS.format(names=", ".join(record["settings"]))
    (out / "README.md").write_text(
        _READMES[form].format(settings=settings, tokens=record["max_new_tokens"]), encoding="utf-8"
    )
