"""The plan of a run: written once, addressed by its digest, and believed only if its content has that digest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import DamagedError, InputError, NewerSchemaError
from components.platform.storage import objects
from components.platform.storage.plan import Plan, PlannedModel, parse, read, shared, uri, write
from components.stages.sft import SftConfig

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def plan(**changes: object) -> Plan:
    values = {"tags": {"recipe": "r"}, "data": {"train": "samples"}, "stages": {"sft": {"seed": 7}}}
    return Plan.model_validate({**values, **changes})


@given(st.dictionaries(st.text(min_size=1), st.dictionaries(st.text(), VALUES, max_size=3), max_size=3))
def test_every_value_survives_the_way_to_the_task(stages: dict[str, dict[str, object]]) -> None:
    made = plan(stages=stages)
    again = parse(made.text)
    assert again == made and again.digest == made.digest
    assert "\n" not in made.text


def test_what_is_written_is_read(store_uri: str) -> None:
    made = write(store_uri, plan().text)
    assert made == plan() and read(store_uri, made.digest) == made
    assert write(store_uri, plan().text).digest == made.digest
    assert objects.list_children(f"{store_uri}/plans") == [f"{made.digest}.json"]


def test_a_plan_that_nobody_wrote(store_uri: str) -> None:
    with pytest.raises(InputError, match=f"plans/{'0' * 64}.json: no such plan; the run's first task writes it"):
        read(store_uri, "0" * 64)


def test_a_plan_with_another_content(store_uri: str) -> None:
    made = write(store_uri, plan().text)
    objects.put_json(uri(store_uri, made.digest), plan(shards=2).model_dump(mode="json"))
    with pytest.raises(DamagedError, match="another digest than its name"):
        read(store_uri, made.digest)


def test_a_plan_of_a_newer_version(store_uri: str) -> None:
    newer = plan(schema_version=2)
    write(store_uri, newer.text)
    with pytest.raises(NewerSchemaError, match="schema_version 2: upgrade"):
        read(store_uri, newer.digest)


@pytest.mark.parametrize(("text", "said"), [("[1, 2]", "must be a YAML mapping"), ("{a: [", "not readable as YAML")])
def test_a_document_that_is_no_plan(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse(text)


def test_a_document_of_another_version_names_its_fields() -> None:
    with pytest.raises(InputError, match=r"plan: tasks_owed: unknown") as refused:
        parse("{tags: {}, data: {}, tasks_owed: []}")
    assert "plan: stages:" in str(refused.value)


def test_settings_of_a_stage_and_of_a_model() -> None:
    made = plan(models=[PlannedModel(name="a", evaluate={"max_steps": 3})], stages={"evaluate": {"seed": 5}})
    assert made.evaluation("a", SftConfig) == SftConfig(seed=5, max_steps=3)
    with pytest.raises(InputError, match="stages: no sft, only evaluate"):
        made.config("sft", SftConfig)
    with pytest.raises(InputError, match="models: no b, only a"):
        made.model("b")


def test_what_all_models_share() -> None:
    assert shared({"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1}}) == {"x": 1}
