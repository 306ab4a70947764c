"""Questions of the smoke test, and weights that load and are wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

from components.questions.items import Item

ITEMS = [
    Item(f"q{n}", stem, {"A": "vitamin K", "B": "vitamin C", "C": "vitamin D"}, "B", "medqa")
    for n, stem in enumerate(("Lack of what causes scurvy?", "Which is in citrus fruits?", "What does collagen need?"))
]


def damaged(model: Path, folder: Path, seed: int = 1) -> Path:
    """The same model with one weight matrix drawn anew: finite, of the right shape and scale, and wrong."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, folder)
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = "model.layers.1.mlp.down_proj.weight"
    torch.manual_seed(seed)
    weights[name] = torch.randn_like(weights[name]) * weights[name].std() * 30
    save_file(weights, path, metadata={"format": "pt"})
    return folder
