"""Checkpoints of a training in the store: complete or absent, found again by what they were trained on."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import DamagedError, NewerSchemaError
from components.platform.folders.deletion import remove_file, remove_folder
from components.platform.storage import store

LOG = logging.getLogger(__name__)
_NAME = re.compile(r"checkpoint-(\d+)")
# A pickle of the trainer's arguments: nothing reads it back, so it is not stored.
_UNSAFE = "training_args.bin"


def resume_key(stage: str, config: Mapping[str, Any], inputs: Sequence[tuple[str, str]]) -> str:
    """What two trainings must share for one to continue the other: stage, recipe part, data and weights digests.

    Code is left out on purpose: a change of code is recorded and warned about, not a reason to start over.
    """
    text = json.dumps([stage, dict(config), [list(pair) for pair in inputs]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints below `uri` (s3://... or a folder) of the training with this `key`."""

    uri: str
    stage: str
    key: str
    inputs: tuple[tuple[str, str], ...] = ()
    code: str = ""

    def newest(self, work: Path) -> tuple[Path, int] | None:
        """Fetch the newest complete checkpoint of this training into `work`: (folder, step), or None.

        One that is half written, of another recipe or data, of a newer version of this program, or that differs from
        its manifest is passed over, each with a warning, and the next older one is tried. Raises UnavailableError when
        the store does not answer: a checkpoint that cannot be read now is no reason to start from zero.
        """
        for step, name in sorted(self._steps(), reverse=True):
            source, folder = f"{self.uri}/{name}", work / name
            try:
                manifest = store.read_manifest(source)
                if manifest is None:
                    _warn(f"{source} is incomplete (no manifest); passed over")
                    continue
                if manifest.get("key") != self.key:
                    _warn(f"{source} belongs to another recipe, data set or base model; passed over")
                    continue
                store.get_dir(source, folder)
            except (DamagedError, NewerSchemaError) as error:
                _warn(f"{error}; passed over")
                continue
            if self.code and manifest.get("code") not in ("", self.code):
                _warn(f"{source} was written by other code ({manifest['code'][:12]}, now {self.code[:12]}); continuing")
            return folder, step
        return None

    def put(self, folder: Path, step: int) -> None:
        """Store a checkpoint, manifest last, then delete the others of this training."""
        remove_file(folder / _UNSAFE)
        name = f"checkpoint-{step}"
        # What a killed upload left under this name must not mix with the new files.
        store.delete_prefix(f"{self.uri}/{name}")
        store.put_dir(folder, f"{self.uri}/{name}", stage=self.stage, key=self.key, inputs=self.inputs, code=self.code)
        for _, other in self._steps():
            if other != name and self._mine(f"{self.uri}/{other}"):
                store.delete_prefix(f"{self.uri}/{other}")

    def _mine(self, uri: str) -> bool:
        """Whether a checkpoint is one of this training, or a half-written or damaged one that nobody can use.

        What a newer version of this program wrote is somebody else's; what cannot be read now raises.
        """
        try:
            manifest = store.read_manifest(uri)
        except NewerSchemaError:
            return False
        except DamagedError:
            return True
        return manifest is None or manifest.get("key") == self.key

    def _steps(self) -> list[tuple[int, str]]:
        found = ((_NAME.fullmatch(name), name) for name in store.list_children(self.uri))
        return [(int(match[1]), name) for match, name in found if match]


def upload_callback(checkpoints: Checkpoints, output_dir: Path) -> Any:
    """A transformers callback that stores each checkpoint as it is saved, and keeps only the newest folder locally.

    No checkpoint is written at the very last step: the finished model follows within the same interval.
    """
    from transformers import TrainerCallback

    class Upload(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:  # noqa: ARG002
            if state.global_step >= state.max_steps:
                control.should_save = False
            return control

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:  # noqa: ARG002
            if state.is_world_process_zero:
                folder = output_dir / f"checkpoint-{state.global_step}"
                checkpoints.put(folder, state.global_step)
                for other in output_dir.glob("checkpoint-*"):
                    if other != folder:
                        remove_folder(other)
            return control

    return Upload()


def _warn(text: str) -> None:
    LOG.warning("checkpoints: %s", text)
