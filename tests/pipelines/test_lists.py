"""`list`, `schema`, `status`, `logs`, `--version`, `--dry-run`, and what a misspelt name gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result

from components.errors import InputError
from components.platform import events
from components.platform.config import parse_config, set_path
from pipelines.cli.lists import SETTINGS
from pipelines.cli.main import cli
from pipelines.settings.training_recipe import TrainingRecipe

ROOT = Path(__file__).resolve().parents[2]


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def test_version_is_the_package_s() -> None:
    from importlib.metadata import version

    assert call("--version").output == f"biomed-r1 {version('biomed-r1')}\n"


@pytest.mark.parametrize(
    ("typed", "said"),
    [("evalute", "did you mean evaluate?"), ("promoet", "did you mean promote"), ("zzz", "known are run, doctor")],
)
def test_a_misspelt_verb_gets_the_near_ones(typed: str, said: str) -> None:
    found = call(typed)
    assert found.exit_code == 2 and said in found.output


@pytest.mark.parametrize("what", ["recipes", "profiles"])
def test_every_shipped_file_is_listed(what: str) -> None:
    names = [line.split("\t")[0] for line in call("list", what).output.splitlines()]
    assert sorted(names) == sorted(path.stem for path in (ROOT / "pipelines" / what).glob("*.yaml"))


@pytest.mark.parametrize("verb", SETTINGS)
def test_every_verb_with_settings_lists_them(verb: str) -> None:
    found = call("list", "settings", verb)
    assert found.exit_code == 0 and all(len(line.split("\t")) >= 2 for line in found.output.splitlines())


def test_the_schema_accepts_what_ships_and_refuses_a_misspelt_key() -> None:
    for what, folder, names in (("recipe", "recipes", ["demo", "smoke"]), ("profile", "profiles", ["kind", "local"])):
        schema = json.loads(call("schema", what).output)
        for name in names:
            values = yaml.safe_load((ROOT / "pipelines" / folder / f"{name}.yaml").read_text())
            jsonschema.validate(values, {**schema, "required": []})
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate({**values, "lerning_rate": 1}, {**schema, "required": []})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"sft": {"lerning_rate": 1}}, "sft.lerning_rate: unknown; did you mean learning_rate?"),
        ({"ingst": {}}, "ingst: unknown; did you mean ingest?"),
        ({"data": {"zzz": 1}}, "data.zzz: unknown; known are benchmarks, train"),
    ],
)
def test_an_unknown_key_gets_the_near_ones(values: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        parse_config(TrainingRecipe, {"name": "x", "base_model": "package:x", **values}, "x.yaml")
    assert said in str(error.value)


def test_a_change_that_is_no_yaml_is_refused_in_words() -> None:
    with pytest.raises(InputError, match=r"--set a.b=\[1: not readable as YAML"):
        set_path({}, "a.b=[1")


def test_a_dry_run_lists_the_tasks_and_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOMED_R1_HOME", str(tmp_path / "home"))
    found = call("run", "--recipe", "smoke", "--dry-run")
    assert found.exit_code == 0, found.output
    assert "nothing was run" in found.output and "grpo" in found.output.splitlines()
    assert not (tmp_path / "home" / "runs").exists()


def test_status_and_logs_tell_of_the_latest_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from components.platform.logs import log_path
    from pipelines.settings.training_recipe import load_training_recipe

    monkeypatch.setenv("BIOMED_R1_HOME", str(tmp_path))
    assert "none yet" in call("status").output
    folder = tmp_path / "runs" / "smoke-20261127-120000-abcd"
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(load_training_recipe("smoke").model_dump_json(by_alias=True))
    monkeypatch.setenv(events.RUN_FOLDER_VARIABLE, str(folder))
    with events.events_of("ingest"):
        pass
    with pytest.raises(ValueError, match="boom"), events.events_of("classify"):
        raise ValueError("boom")
    log = log_path(folder, "classify")
    log.parent.mkdir(parents=True)
    log.write_text("ValueError: boom\n")
    lines = call("status").output.splitlines()
    assert "ingest\tfinished\t0 s" in lines and "classify\tfailed\t0 s" in lines and "grpo\twaiting" in lines
    assert call("logs", "classify").output == "ValueError: boom\n"
    with pytest.raises(InputError, match="did you mean classify"):
        CliRunner().invoke(cli, ["logs", "clasify"], catch_exceptions=False)


def own_data(folder: Path) -> Path:
    for kind in ("benchmarks", "train"):
        (folder / kind).mkdir(parents=True)
        options = {"A": "aspirin", "B": "heparin"}
        rows = [
            {"id": f"q{n}", "question": f"Drug {n}?", "options": options, "answer_idx": "A", "dataset_name": "own"}
            for n in range(4)
        ]
        (folder / kind / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_own_questions_without_labels_are_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIOMED_R1_HOME", str(tmp_path / "home"))
    data = own_data(tmp_path / "data")
    command = ["run", "--recipe", "smoke", "--data", str(data), "--dry-run"]
    with pytest.raises(
        InputError, match=r"question_type: labels of 0 Reasoning, 0 Understanding questions; .*--labels"
    ):
        CliRunner().invoke(cli, command, catch_exceptions=False)
    assert call(*command, "--labels", "samples").exit_code == 0
    with pytest.raises(InputError, match="no/such"):
        CliRunner().invoke(cli, [*command, "--classifier", "no/such"], catch_exceptions=False)
    assert not (tmp_path / "home" / "runs").exists()


def test_labels_come_from_where_they_are_said_to_be(tmp_path: Path) -> None:
    from components.platform.tables import read_items
    from components.stages.ingest import IngestConfig, ingest

    data = str(own_data(tmp_path / "data"))
    ingest(data, data, IngestConfig(labels_from="samples", labels_limit=20), tmp_path / "out")
    labels = read_items(tmp_path / "out" / "labels.parquet")
    assert len(labels) == 20 and all(item.question_type for item in labels)
    assert {item.dataset_name for item in read_items(tmp_path / "out" / "benchmarks.parquet")} == {"own"}


def test_outputs_that_would_replace_something_else_are_refused(tmp_path: Path) -> None:
    source = own_data(tmp_path / "data") / "benchmarks" / "own.jsonl"
    for out, said in ((source, "is the source itself"), (tmp_path / "items.xlsx", "written as .parquet or .jsonl")):
        before = source.read_bytes()
        with pytest.raises(InputError, match=said):
            CliRunner().invoke(cli, ["ingest", "--from", str(source), "--out", str(out)], catch_exceptions=False)
        assert source.read_bytes() == before


def test_another_model_s_answers_are_not_replaced(tmp_path: Path) -> None:
    from components.platform.tables import write_rows

    source = own_data(tmp_path / "data") / "benchmarks" / "own.jsonl"
    write_rows([{"model": "theirs", "item_id": "q0", "setting": "plain", "output": "A"}], tmp_path / "answers.parquet")
    command = ["evaluate", "--model", "package:smollm2-135m-instruct", "--items", str(source), "--out", str(tmp_path)]
    with pytest.raises(InputError, match="has answers of theirs"):
        CliRunner().invoke(cli, command, catch_exceptions=False)


def test_the_folder_of_an_output_is_made(tmp_path: Path) -> None:
    out = tmp_path / "new" / "smoke.yaml"
    found = call("compile", "--recipe", "demo", "--profile", "local", "-o", str(out))
    assert found.exit_code == 0 and out.is_file(), found.output
