"""What others published about the same questions: data only, set beside our own figures in a report.

Sources: the abstracts of arXiv 2505.11462 v1 and v2 (EACL 2026) for the claims; the model card of
II-Medical-8B-SFT for the accuracies per benchmark. Fractions, not percent.
"""

from __future__ import annotations

from types import MappingProxyType

REASONING_SHARE = 0.328
EXPERT_AGREEMENT = 0.81

# (version, model, first figure, second figure); the examples that each version's abstract quotes.
KNOWLEDGE_AND_REASONING = (("v1", "m1", 0.605, 0.471), ("v2", "HuatuoGPT-o1", 0.569, 0.448))
PLAIN_AND_ADVERSARIAL = (("v1", "MedReason", 0.444, 0.293), ("v2", "MedReason", 0.504, 0.244))

_COLUMNS = (
    "medmcqa",
    "medqa",
    "pubmedqa",
    "mmlu_health_biology",
    "GPQA_Medical_test",
    "Lancet",
    "medbullets_op4",
    "medbullets_op5",
    "MedXpertQA",
    "NEJM",
)
_PERCENT = {
    "HuatuoGPT-o1-8B": (63.97, 74.78, 80.10, 63.71, 55.38, 64.32, 58.44, 51.95, 15.79, 64.84),
    "MedReason-8B": (61.67, 71.87, 77.4, 64.1, 50.51, 59.7, 60.06, 54.22, 22.87, 66.8),
    "m1-7B-23K": (62.54, 75.81, 75.80, 65.86, 53.08, 62.62, 63.64, 59.74, 19.59, 64.34),
    "Qwen2.5-7B-Instruct": (56.56, 61.51, 71.3, 61.17, 42.56, 61.17, 46.75, 40.58, 13.26, 59.04),
    "QwQ-32B": (69.73, 87.03, 88.5, 79.86, 69.17, 71.3, 72.07, 69.01, 24.98, 75.12),
}
ACCURACIES = MappingProxyType(
    {
        model: {benchmark: value / 100 for benchmark, value in zip(_COLUMNS, values, strict=True)}
        for model, values in _PERCENT.items()
    }
)

CITATION = """@article{thapa2025disentangling,
  title   = {Disentangling Reasoning and Knowledge in Medical Large Language Models},
  author  = {Thapa, Rahul and Wu, Qingyang and Wu, Kevin and Zhang, Harrison and Zhang, Angela and Wu, Eric and
             Ye, Haotian and Bedi, Suhana and Aresh, Nevin and Boen, Joseph and Reddy, Shriya and
             Athiwaratkun, Ben and Song, Shuaiwen Leon and Zou, James},
  journal = {arXiv preprint arXiv:2505.11462},
  year    = {2025}
}"""
