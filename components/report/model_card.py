"""A model card in Hugging Face's form: a metadata block with results, then text for people. All of it from the run.

The text follows the subjects of TRIPOD-LLM (Gallifant et al., Nature Medicine 2025, doi:10.1038/s41591-024-03425-5).
What the run did not record is said to be unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.report.card_facts import reported, training_sets
from components.report.scores import changes
from components.report.wording import percent, points, spread

DISCLAIMER = "Research use only. Not a medical device; never for clinical decisions."
# Licences that Hugging Face has a word for, by how recipes write them; any other is `other` with its name.
_LICENCES = {"apache-2.0": "apache-2.0", "mit": "mit", "llama 3.1 community license": "llama3.1"}
SNIPPET = """from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "model"  # where the files of the weights were copied to
model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
tokenizer = AutoTokenizer.from_pretrained(folder)
messages = [{"role": "user", "content": "Which vitamin's lack causes scurvy? A. Vitamin A B. Vitamin C"}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")
output = model.generate(**inputs, max_new_tokens=256)
print(tokenizer.decode(output[0], skip_special_tokens=True))"""
Record = Mapping[str, Any]


@dataclass(frozen=True)
class About:
    """What a card is about: the registered name, where the weights are, and what the run recorded.

    `receipts` are the run's by task and `settings` its stages' configs; both may be empty, for a model that no run of
    ours made. `report` is where the run's page is, as a link or an address.
    """

    name: str
    uri: str
    digest: str
    licence: str
    base_model: str = ""
    recipe: str = ""
    git_revision: str = ""
    report: str = ""
    receipts: Mapping[str, Record] = field(default_factory=dict)
    settings: Mapping[str, Record] = field(default_factory=dict)


def model_card(about: About, decision: Record, scores: Record) -> str:
    """The card as Markdown with its YAML block; `scores` and `decision` are the contents of compare's two files."""
    from huggingface_hub import ModelCard

    cells = _cells(decision, scores)
    parts = [
        f"# {about.name}\n\n**{DISCLAIMER}**",
        _what(about),
        f"## How to load it\n\n{_copying(about)}\n\n```python\n{SNIPPET}\n```",
        _gate(decision),
        _accuracy(cells),
        _changes(decision, scores),
        _training(about),
        _limits(scores),
        _tripod(about, decision),
    ]
    text = "\n\n".join(part for part in parts if part)
    return str(ModelCard(f"---\n{_metadata(about, cells).to_yaml()}\n---\n\n{text}\n"))


def version_text(about: About, decision: Record, scores: Record, page: str) -> str:
    """What the registry's page of a version says: the card's beginning, with links. `page` is the run's in MLflow."""
    links = f"[Report]({page}/artifacts/report/report.html), " if page else ""
    card = f"[model card]({page}/artifacts/register/model_card.md). " if page else ""
    parts = [
        f"**{DISCLAIMER}**",
        f"{links}{card}Weights: `{about.uri}`.",
        _gate(decision),
        _accuracy([c for c in _cells(decision, scores) if c["setting"] in ("plain", "adversarial")]),
        f"## How to load it\n\n{_copying(about)}\n\n```python\n{SNIPPET}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _metadata(about: About, cells: Sequence[Record]) -> Any:
    from huggingface_hub import EvalResult, ModelCardData

    licence = _LICENCES.get(about.licence.casefold(), "other")
    results = [
        EvalResult(
            task_type="question-answering",
            task_name="Multiple-choice questions of medicine and biology",
            dataset_type="multiple-choice",
            dataset_name=f"{cell['benchmark']}, {cell['stratum']} questions, {cell['setting']}",
            dataset_config=cell["stratum"],
            dataset_split=cell["setting"],
            metric_type="accuracy",
            metric_name="Accuracy",
            metric_value=round(float(cell["accuracy"]), 4),
            metric_args={"ci_low": _short(cell["ci_low"]), "ci_high": _short(cell["ci_high"]), "n": int(cell["n"])},
        )
        for cell in cells
    ]
    return ModelCardData(
        language="en",
        license=licence,
        license_name=about.licence if licence == "other" else None,
        library_name="transformers",
        pipeline_tag="text-generation",
        # Only an id of the hub may stand here.
        base_model=about.base_model if "/" in about.base_model else None,
        tags=["medical", "biology", "reasoning", "grpo", "not-for-clinical-use"],
        metrics=["accuracy"],
        model_name=about.name,
        eval_results=results,
    )


def _short(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)


def _cells(decision: Record, scores: Record) -> list[Record]:
    """The candidate's accuracies over all benchmarks, by setting and stratum."""
    return [
        cell
        for cell in scores["cells"]
        if cell["model"] == decision["candidate"] and cell["benchmark"] == "all" and cell["n"]
    ]


def _what(about: About) -> str:
    report = f" Report: {about.report}." if about.report else ""
    return (
        f"Base model: {about.base_model or 'see the recipe'}. Licence: {about.licence}. Trained by supervised "
        "fine-tuning and GRPO on reasoning-heavy questions with adversarial prefills, after Thapa et al., "
        f"arXiv:2505.11462.{report}"
    )


def _copying(about: About) -> str:
    return (
        f"The weights are in `{about.uri}`: plain transformers files, safetensors. Copy them to a folder `model`, for "
        f"example by `aws s3 cp --recursive {about.uri} model`; `manifest.json` there lists each file's sha256. vLLM "
        "loads the same folder."
    )


def _gate(decision: Record) -> str:
    reasons = [f"- {'passed' if r['passed'] else 'failed'}: {r['text']}" for r in decision["reasons"]]
    title = f"## Gate: {decision['decision']} (against {decision['baseline']}, look {decision['look']})"
    return "\n".join([title, "", *reasons]).rstrip()


def _accuracy(cells: Sequence[Record]) -> str:
    if not cells:
        return ""
    head = ["## Accuracy, all benchmarks pooled", "", "| questions | setting | accuracy | 95 % interval | n |"]
    rows = [
        f"| {c['stratum']} | {c['setting']} | {percent(c['accuracy'])} | {_interval(c)} | {c['n']} |" for c in cells
    ]
    return "\n".join([*head, "|---|---|---:|---|---:|", *rows])


def _interval(figure: Record, signed: bool = False) -> str:
    return spread(figure["ci_low"], figure["ci_high"], signed)


def _changes(decision: Record, scores: Record) -> str:
    found = [change for change in changes(scores) if change["model"] == decision["candidate"]]
    if not found:
        return ""
    head = ["## Change of accuracy by a prefill that is wrong", "", "| questions | change | 95 % interval |"]
    rows = [f"| {c['stratum']} | {points(c['estimate'])} | {_interval(c, signed=True)} |" for c in found]
    return "\n".join([*head, "|---|---:|---|", *rows, "", "Adversarial minus plain: negative is worse."])


def _training(about: About) -> str:
    sets = training_sets(about.receipts)
    if not sets:
        return "## Training data\n\nNot recorded: this model was registered outside a run."
    rows = [f"| {name} | {rows:,} | `{digest}` | {source} |" for name, rows, digest, source in sets]
    head = ["## Training data", "", "| set | rows | sha256 | what it is |", "|---|---:|---|---|"]
    return "\n".join([*head, *rows])


def _limits(scores: Record) -> str:
    questions = max((c["n"] for c in scores["cells"] if c["benchmark"] == "all"), default=0)
    return (
        "## Limits\n\n"
        f"- Measured on multiple-choice questions only (at most {questions:,} a setting): nothing is known of free "
        "text, dialogue, other languages or patients.\n"
        "- Which questions need reasoning is a classifier's call; its errors shrink every difference between strata.\n"
        "- Intervals are of the questions asked, not of another set, prompt or decoding.\n"
        "- Public questions may be in the base model's pretraining data; only the training sets above were compared "
        "with them.\n"
        "- Answers can be wrong and sound certain. No subgroup of patients was looked at."
    )


def _tripod(about: About, decision: Record) -> str:
    rows = [f"| {subject} | {said} |" for subject, said in reported(about.receipts, about.settings, decision)]
    rows += [
        f"| Weights | `{about.uri}`, directory sha256 `{about.digest}` |",
        f"| Code and protocol | git {about.git_revision or 'unknown'}; recipe sha256 `{about.recipe or 'none'}`, which "
        "holds the gate's rules |",
    ]
    return "\n".join(["## For a TRIPOD-LLM report", "", "| subject | what the run says |", "|---|---|", *rows])
