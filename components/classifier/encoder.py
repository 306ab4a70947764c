"""Encoders: load one, train one, score or embed many texts quickly. Import inside functions: it imports torch.

Scoring tokenises once, sorts by length and pads each batch to its own longest text, so that almost no work goes into
padding; matrix products run in bf16 where the processor has instructions for it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer
from transformers import get_linear_schedule_with_warmup as linear_schedule
from transformers import logging as transformers_logging

from components.classifier.features import split_last
from components.errors import InputError

LABELS = {0: "Understanding", 1: "Reasoning"}
_DENIED = re.compile(r"\b(non|not|no|without) ?reason|^(knowledge|understanding|recall|factual)\b(?!.*reason)")
# Tokens in one scoring batch, padding included. Measured on two CPU cores: 4096 beats 2048, 8192 and 16384.
BATCH_TOKENS = {"cpu": 4096, "cuda": 131072}


@dataclass(frozen=True)
class Encoder:
    """A tokenizer and a model on one device; `missing` names weights that its files lack and that are random here."""

    model: Any  # a transformers PreTrainedModel
    tokenizer: Any
    device: torch.device
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Training:
    """How an encoder is trained; `lr` is the peak of a linear warm-up (a tenth of the steps) and decay."""

    epochs: int
    lr: float
    batch_size: int
    max_length: int
    weight_decay: float
    seed: int
    dtype: str


def load(folder: str | Path) -> Encoder:
    """The two-label model and tokenizer of a folder; one without a head gets a fresh one (seed it first).

    `score` refuses a fresh head, `train` trains it. A text that is too long loses its beginning in every classifier: a
    vignette asks its question in the last sentence. How the paper's released one cut texts was not found; at the 512
    tokens of its recipe few are cut. Raises InputError when the folder is not a model with safetensors weights, or has
    other than two labels.
    """
    more = {"num_labels": len(LABELS), "output_loading_info": True}
    tokenizer, (model, info) = _from_folder(folder, AutoModelForSequenceClassification, "a two-label classifier", more)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Encoder(model.to(device).eval(), tokenizer, device, tuple(sorted(info["missing_keys"])))


def load_frozen(folder: str | Path, depth: Literal["two thirds", "all"] = "two thirds") -> Encoder:
    """The lower layers of a folder's encoder (or all of them), without a head, for `embed`.

    Layers in the middle tell more about the kind of question than the last, which was trained to tell topics apart:
    of MiniLM's six, the fourth gives AUROC 0.834 and the last 0.808 on MedXpertQA's labels, and costs a third less.
    """
    more: dict[str, Any] = {}
    if depth == "two thirds" and (Path(folder) / "config.json").is_file():
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        more = {"num_hidden_layers": max(1, -(-2 * config.num_hidden_layers // 3))}
    tokenizer, model = _from_folder(folder, AutoModel, "an encoder", more)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Encoder(model.to(device).eval(), tokenizer, device)


def _from_folder(folder: str | Path, kind: Any, what: str, more: Mapping[str, Any]) -> tuple[Any, Any]:
    """The tokenizer, and what `kind` loads from the folder; raises InputError where it cannot."""
    folder = Path(folder)
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise InputError(f"{folder}: not a model folder (config.json and *.safetensors); give a trained classifier")
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # a fresh head or layers left out are meant, not worth a screen of text
    transformers_logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, truncation_side="left")
        model = kind.from_pretrained(folder, use_safetensors=True, trust_remote_code=False, dtype=torch.float32, **more)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{folder}: cannot be loaded as {what}: {str(error)[:300]}") from None
    finally:
        transformers_logging.set_verbosity(verbosity)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer, model


def reasoning_label(names: Mapping[int, str]) -> int:
    """Which of a checkpoint's two labels means reasoning, by its name; 1 where they have none (LABEL_0, LABEL_1).

    "reasoning" itself wins, then a name that holds "reason" and does not deny it, then whatever is not said to be
    knowledge or non-reasoning. Raises InputError where that leaves both or neither: a wrong guess inverts all strata.
    """
    plain = {int(index): " ".join(re.findall(r"[^\W_]+", str(name).lower())) for index, name in names.items()}
    if all(re.fullmatch(r"(label )?\d+", name) for name in plain.values()):
        return 1
    denied = {i for i, name in plain.items() if _DENIED.search(name)}
    exact = [i for i, name in plain.items() if name == "reasoning"]
    holds = [i for i, name in plain.items() if "reason" in name and i not in denied]
    rest = [i for i in plain if denied and i not in denied]
    for found in (exact, holds, rest):
        if len(found) == 1:
            return found[0]
        if found:
            break
    raise InputError(
        f"id2label: {dict(names)} does not tell which label means reasoning; name one of the two 'reasoning' in the "
        "checkpoint's config.json"
    )


def save(encoder: Encoder, folder: Path) -> None:
    """An ordinary transformers checkpoint whose labels have names; loads with AutoModelForSequenceClassification.

    A checkpoint that names its labels keeps the names: they may stand the other way round.
    """
    if all(str(name).startswith("LABEL_") for name in encoder.model.config.id2label.values()):
        _name_labels(encoder)
    save_plain(encoder, folder)


def save_plain(encoder: Encoder, folder: Path) -> None:
    """Weights, configuration and tokenizer as they are."""
    encoder.model.to(torch.float32).save_pretrained(folder, safe_serialization=True)
    encoder.tokenizer.save_pretrained(folder)


def _name_labels(encoder: Encoder) -> None:
    encoder.model.config.id2label = dict(LABELS)
    encoder.model.config.label2id = {name: index for index, name in LABELS.items()}


def compute_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bf16 where the hardware multiplies it natively (elsewhere it is emulated, and slower than fp32)."""
    if name == "auto":
        native = torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_has_bf16()
        return torch.bfloat16 if native else torch.float32
    return {"bfloat16": torch.bfloat16, "float32": torch.float32}[name]


def score(
    encoder: Encoder,
    texts: Sequence[str],
    max_length: int,
    dtype: str = "auto",
    watch: Callable[..., Iterator[Any]] | None = None,
) -> np.ndarray:
    """P(reasoning) of each text, float64, in the order given. `watch(batches)` may show progress.

    Raises InputError for a model whose head was never trained: its probabilities would be noise.
    """
    if encoder.missing:
        raise InputError(
            f"{encoder.model.name_or_path}: no trained classifier: its files hold no {', '.join(encoder.missing[:3])}, "
            "which would be random; give one that classify made, or a released two-label classifier"
        )
    ids = _tokenise(encoder.tokenizer, texts, max_length)
    batches = token_batches([len(x) for x in ids], BATCH_TOKENS[encoder.device.type])
    probabilities = np.full(len(texts), np.nan)
    cast, positive = compute_dtype(dtype, encoder.device), reasoning_label(encoder.model.config.id2label)
    encoder.model.eval().to(cast)  # weights too: casting them again for every batch costs a fifth of the time
    try:
        with torch.inference_mode():
            for batch in watch(batches) if watch else batches:
                logits = encoder.model(**_pad(encoder, [ids[i] for i in batch])).logits
                probabilities[batch] = torch.softmax(logits.double(), dim=-1)[:, positive].cpu().numpy()
    finally:
        encoder.model.to(torch.float32)
    assert not np.isnan(probabilities).any(), "a text was left without a score"
    return probabilities


def embed(
    encoder: Encoder,
    texts: Sequence[str],
    max_length: int,
    dtype: str = "auto",
    watch: Callable[..., Iterator[Any]] | None = None,
) -> np.ndarray:
    """What an encoder without a head makes of each question: shape (texts, 4 × hidden size), float64.

    The last sentence is read first and what comes before it is cut at its beginning (`[CLS] last sentence [SEP] end of
    the rest [SEP]`), so that no vignette is too long for its question to be seen. Four vectors of length 1: the mean of
    all tokens and of the last sentence's in the last layer but one, the first token's in the last layer, and the mean
    of the last layer where the last sentence stands alone.
    """
    whole = [_question_first(encoder.tokenizer, text, max_length) for text in texts]
    alone = [(ids[:end], end) for ids, end in whole]
    vectors = _pooled(encoder, whole + alone, dtype, watch)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    count = len(whole)
    return np.concatenate([vectors[:count, :3].reshape(count, -1), vectors[count:, 3]], axis=1)


def _pooled(
    encoder: Encoder, rows: Sequence[tuple[list[int], int]], dtype: str, watch: Callable[..., Iterator[Any]] | None
) -> np.ndarray:
    """Of each (ids, end of the last sentence) the four vectors that `embed` chooses from: (rows, 4, hidden size)."""
    vectors = np.empty((len(rows), 4, encoder.model.config.hidden_size))
    cast = compute_dtype(dtype, encoder.device)
    batches = token_batches([len(ids) for ids, _ in rows], BATCH_TOKENS[encoder.device.type])
    with torch.inference_mode(), torch.autocast(encoder.device.type, torch.bfloat16, cast is torch.bfloat16):
        for batch in watch(batches) if watch else batches:
            inputs = _pad(encoder, [rows[i][0] for i in batch])
            *_, below, last = encoder.model.base_model(**inputs, output_hidden_states=True).hidden_states
            mask = inputs["attention_mask"]
            ends = torch.tensor([rows[i][1] for i in batch], device=encoder.device)
            asked = mask * (torch.arange(mask.shape[1], device=encoder.device) < ends[:, None])
            found = [_mean(below, mask), _mean(below, asked), last[:, 0].double(), _mean(last, mask)]
            vectors[batch] = torch.stack(found, dim=1).cpu().numpy()
    return vectors


def _mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean vector of the tokens under the mask, shape (texts, hidden size), float64."""
    return (hidden.double() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def _question_first(tokenizer: Any, text: str, max_length: int) -> tuple[list[int], int]:
    """The ids of `[CLS] last sentence [SEP] end of the rest [SEP]`, and how many of them belong to the sentence."""
    before, asked = split_last(text)
    start, stop = tokenizer.cls_token_id, tokenizer.sep_token_id
    marks = (tokenizer.pad_token_id if start is None else start), (tokenizer.pad_token_id if stop is None else stop)
    room = max_length - 2 if not before else max(1, max_length - 3) // 2
    ids = [marks[0], *_plain_ids(tokenizer, asked)[-room:], marks[1]]
    end = len(ids)
    left = max_length - end - 1
    if before and left > 0:
        ids += [*_plain_ids(tokenizer, before)[-left:], marks[1]]
    return ids, end


def _plain_ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids


def token_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices in batches of similar length, longest first; size × longest of a batch stays within `budget` tokens."""
    batches: list[list[int]] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not batches or (len(batches[-1]) + 1) * longest > budget:
            batches.append([])
            longest = lengths[index]
        batches[-1].append(index)
    return batches


def train(
    folder: str | Path,
    texts: Sequence[str],
    labels: Sequence[int],
    how: Training,
    watch: Callable[..., Iterator[Any]] | None = None,
) -> tuple[Encoder, list[dict[str, float]]]:
    """Fine-tune the encoder in `folder` on (text, label) and return it with its loss at every step.

    Weights stay fp32 (small updates vanish in bf16), only the arithmetic is bf16. AdamW; the gradient is clipped to 1.
    The same seed, data and thread count give the same weights. Label 1 means reasoning, whatever `folder` called it.
    """
    random.seed(how.seed)
    torch.manual_seed(how.seed)
    encoder = load(folder)
    _name_labels(encoder)
    ids = _tokenise(encoder.tokenizer, texts, how.max_length)
    steps = [b for epoch in range(how.epochs) for b in _training_batches(ids, how, epoch)]
    optimizer = torch.optim.AdamW(encoder.model.parameters(), lr=how.lr, weight_decay=how.weight_decay)
    schedule = linear_schedule(optimizer, max(1, len(steps) // 10), len(steps))
    cast = compute_dtype(how.dtype, encoder.device)
    history = []
    encoder.model.train()
    for number, batch in enumerate(watch(steps) if watch else steps, start=1):
        target = torch.tensor([labels[i] for i in batch], device=encoder.device)
        with torch.autocast(encoder.device.type, dtype=torch.bfloat16, enabled=cast is torch.bfloat16):
            logits = encoder.model(**_pad(encoder, [ids[i] for i in batch])).logits
        loss = torch.nn.functional.cross_entropy(logits.float(), target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        history.append({"step": number, "loss": float(loss.detach())})
    return replace(encoder, model=encoder.model.eval(), missing=()), history


def _training_batches(ids: list[list[int]], how: Training, epoch: int) -> list[list[int]]:
    """Batches of one epoch: a seeded shuffle, then sorted by length within stretches of 16 batches (less padding)."""
    rng = random.Random(f"{how.seed}|{epoch}")
    order = list(range(len(ids)))
    rng.shuffle(order)
    stretch = 16 * how.batch_size
    batches = []
    for start in range(0, len(order), stretch):
        part = sorted(order[start : start + stretch], key=lambda i: len(ids[i]))
        batches += [part[i : i + how.batch_size] for i in range(0, len(part), how.batch_size)]
    rng.shuffle(batches)
    return batches


def _tokenise(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[list[int]]:
    if not texts:
        return []
    encoded = tokenizer(list(texts), truncation=True, max_length=max_length, padding=False, return_attention_mask=False)
    ids: list[list[int]] = encoded["input_ids"]
    return ids


def _pad(encoder: Encoder, ids: list[list[int]]) -> dict[str, torch.Tensor]:
    padded = encoder.tokenizer.pad({"input_ids": ids}, padding_side="right", return_tensors="pt")
    return {name: padded[name].to(encoder.device) for name in ("input_ids", "attention_mask")}


def _cpu_has_bf16() -> bool:
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and any(name in flags.read_text() for name in ("avx512_bf16", "amx_bf16"))
