"""What compile and doctor say of a training that the GPUs of a profile cannot hold, or cannot split."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from compiled_pipelines import SITE

from components.errors import InputError
from pipelines.cli.local import doctor_command
from pipelines.compile import check
from pipelines.settings.memory import check_memory
from pipelines.settings.profile import load_profile
from pipelines.settings.recipes import load_any_recipe


@pytest.fixture(autouse=True)
def _no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BIOMED_R1_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("recipe", "profile", "code"),
    [("biomed-r1-32b", "h100x8", 2), ("biomed-r1-32b", "h100x8x2", 0), ("biomed-r1-8b", "h100x8", 0)],
)
def test_doctor_adds_up_the_memory_of_each_gpu(recipe: str, profile: str, code: int) -> None:
    done = CliRunner().invoke(doctor_command, ["--recipe", recipe, "--profile", profile])
    failed = isinstance(done.exception, InputError)
    assert failed == bool(code) and (failed or done.exit_code == 0), done.output
    assert "sft: " in done.output and "grpo: " in done.output
    assert "weights, gradients, optimizer" in done.output
    if code:
        assert "the largest are weights, gradients, optimizer 61.0 GiB" in done.output


def test_compile_refuses_what_no_gpu_can_hold() -> None:
    pinned = [f"base_model=hf:Qwen/Qwen2.5-32B-Instruct@{'a' * 40}", f"data.train=hf:datasets/x/y@{'b' * 40}"]
    pinned += [f"classify.model=hf:microsoft/x@{'c' * 40}"]
    recipe = load_any_recipe("biomed-r1-32b", pinned)
    with pytest.raises(InputError, match=r"recipe biomed-r1-32b on profile h100x8: sft: .* GiB of 79.0 a GPU"):
        check(recipe, load_profile(SITE["h100x8"]))
    lora = load_any_recipe("biomed-r1-32b", ["sft.lora={}", "grpo.lora={}"])
    with pytest.raises(InputError, match=r"vLLM has 23.7 GiB a GPU and needs more than 64.0"):
        check_memory(lora, load_profile("h100x8"))


def test_a_profile_of_a_site_fits_lora_on_one_node(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("extends: h100x8\ntrainer: {vllm: {tensor_parallel: 8}}\n")
    lora = load_any_recipe("biomed-r1-32b", ["sft.lora={}", "grpo.lora={}"])
    assert [entry.stage for entry in check_memory(lora, load_profile(str(file)))] == ["sft", "grpo"]


def test_a_step_that_cannot_be_split_is_refused() -> None:
    recipe = load_any_recipe("biomed-r1-8b", ["sft.global_batch=100"])
    with pytest.raises(InputError, match=r"sft.global_batch: 100 sequences a step cannot be split evenly over 8"):
        check_memory(recipe, load_profile("h100x8"))


def test_the_trainer_section_agrees_with_the_role(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("extends: h100x8\ntrainer: {gpus: 4}\n")
    with pytest.raises(InputError, match=r"trainer.gpus: 4, but roles.trainer.gpus asks for 8"):
        load_profile(str(file))
