"""`schedule` against a KFP server that checks every request: one schedule of a name, whatever happens."""

from __future__ import annotations

import random
import re
import signal
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import InputError
from pipelines.cluster.cron import last_time, next_time, parse_cron
from tests.pipelines.cluster_verbs import CANARY, SMOKE, Verb
from tests.pipelines.kfp_server import KfpServer

SUNDAYS, DAILY = "0 0 3 * * 0", "0 30 2 * * *"


def schedule(verb: Verb, kfp: KfpServer, *more: str, cron: str = SUNDAYS, code: int = 0) -> str:
    ended = verb("schedule", "--name", "weekly", "--cron", cron, *SMOKE, "--host", kfp.url, *more)
    assert ended.code == code, ended.stderr
    return str(ended.stdout + ended.stderr)


def act(verb: Verb, kfp: KfpServer, action: str, name: str = "weekly", code: int = 0) -> str:
    ended = verb("schedule", f"--{action}", *(() if action == "list" else ("--name", name)), "--host", kfp.url)
    assert ended.code == code, ended.stderr
    return str(ended.stdout + ended.stderr)


def test_said_twice_it_is_one_schedule_that_follows_the_latest_version(kfp: KfpServer, verb: Verb) -> None:
    assert "schedule weekly: created" in schedule(verb, kfp)
    changes = [r for r in kfp.requests if not r.startswith("GET")]
    assert "schedule weekly: unchanged" in schedule(verb, kfp)
    assert [r for r in kfp.requests if not r.startswith("GET")] == changes, "the second time only asks"
    (run,) = kfp.kept["recurring"]
    (pipeline,) = kfp.kept["pipeline"]
    assert pipeline["display_name"] == "biomed-r1-training-weekly"
    assert run["pipeline_version_reference"] == {"pipeline_id": pipeline["pipeline_id"]}
    assert run["trigger"] == {"cron_schedule": {"cron": SUNDAYS}}
    assert (run["max_concurrency"], run["no_catchup"], run["mode"]) == ("1", True, "ENABLE")


def test_another_cron_replaces_and_never_leaves_two_enabled(kfp: KfpServer, verb: Verb) -> None:
    schedule(verb, kfp)
    (old,) = kfp.kept["recurring"]
    assert "schedule weekly: replaced" in schedule(verb, kfp, cron=DAILY)
    (new,) = kfp.kept["recurring"]
    assert new["recurring_run_id"] != old["recurring_run_id"]
    assert (new["trigger"]["cron_schedule"]["cron"], new["mode"]) == (DAILY, "ENABLE")
    assert kfp.most_enabled == 1
    assert len(kfp.kept["version"]) == 1, "another time is no other pipeline"


def test_of_two_made_at_the_same_moment_one_stays(kfp: KfpServer, verb: Verb) -> None:
    schedule(verb, kfp)
    (first,) = kfp.kept["recurring"]
    kfp.kept["recurring"].append({**first, "recurring_run_id": "recurring-99", "created_at": "2026-01-02T00:00:00Z"})
    assert "unchanged" in schedule(verb, kfp)
    assert kfp.kept["recurring"] == [first]


@pytest.mark.parametrize("more", [("--experiment", "nightly"), ("--service-account", "biomed-r1-runner")])
def test_another_experiment_or_account_replaces(kfp: KfpServer, verb: Verb, more: tuple[str, ...]) -> None:
    schedule(verb, kfp)
    assert "replaced" in schedule(verb, kfp, *more)
    assert "unchanged" in schedule(verb, kfp, *more)
    assert len(kfp.enabled("weekly")) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"pipeline_version_reference": {"pipeline_id": "pipeline-1", "pipeline_version_id": "version-2"}},
        {"max_concurrency": "2"},
        {"no_catchup": False},
        {"trigger": {"cron_schedule": {"cron": SUNDAYS, "end_time": "2026-12-01T00:00:00Z"}}},
        {"trigger": {"periodic_schedule": {"interval_second": "3600"}}},
    ],
)
def test_what_was_changed_by_hand_is_made_right(kfp: KfpServer, verb: Verb, changed: dict[str, Any]) -> None:
    schedule(verb, kfp)
    (run,) = kfp.kept["recurring"]
    before = dict(run)
    run |= changed
    assert act(verb, kfp, "list").startswith("weekly ")
    assert "replaced" in schedule(verb, kfp)
    (made,) = kfp.kept["recurring"]
    own = ("recurring_run_id", "created_at", "updated_at")
    assert {k: v for k, v in made.items() if k not in own} == {k: v for k, v in before.items() if k not in own}
    assert kfp.most_enabled == 1


def test_another_recipe_is_a_new_latest_version_of_the_same_schedule(kfp: KfpServer, verb: Verb) -> None:
    schedule(verb, kfp)
    (run,) = kfp.kept["recurring"]
    assert "unchanged" in schedule(verb, kfp, "--set", "sft.max_steps=4")
    back = schedule(verb, kfp)
    assert kfp.kept["recurring"] == [run]
    names = [v["display_name"] for v in kfp.kept["version"]]
    assert len(names) == 3
    assert names[2] == f"{names[0]}-2", "back at the first recipe, whose version must be the latest again"
    assert f"{names[2]} (recipe smoke" in back
    schedule(verb, kfp)
    assert len(kfp.kept["version"]) == 3


def test_what_is_submitted_is_not_what_the_schedule_runs(kfp: KfpServer, verb: Verb) -> None:
    schedule(verb, kfp)
    assert verb("submit", *SMOKE, "--set", "sft.max_steps=4", "--host", kfp.url).code == 0
    scheduled = kfp.kept["recurring"][0]["pipeline_version_reference"]["pipeline_id"]
    assert [v["pipeline_id"] for v in kfp.kept["version"]].count(scheduled) == 1


def test_paused_stays_paused_until_resumed(kfp: KfpServer, verb: Verb) -> None:
    schedule(verb, kfp)
    assert "schedule weekly: paused" in act(verb, kfp, "pause")
    assert "paused" in schedule(verb, kfp)
    schedule(verb, kfp, cron=DAILY)
    assert kfp.enabled("weekly") == []
    assert f"weekly               paused   {DAILY}" in act(verb, kfp, "list")
    assert "schedule weekly: resumed" in act(verb, kfp, "resume")
    assert len(kfp.enabled("weekly")) == 1
    assert f"weekly               enabled  {DAILY}" in act(verb, kfp, "list")


def test_deleted_is_gone_and_what_others_made_is_left_alone(kfp: KfpServer, verb: Verb) -> None:
    schedule(verb, kfp)
    foreign = {**kfp.kept["recurring"][0], "recurring_run_id": "theirs", "description": "by hand"}
    kfp.kept["recurring"].append(foreign)
    assert "schedule weekly: deleted" in act(verb, kfp, "delete")
    assert kfp.kept["recurring"] == [foreign]
    assert act(verb, kfp, "list") == "no schedules\n"
    for action in ("pause", "resume", "delete"):
        assert "no schedule 'weekly' of ours" in act(verb, kfp, action, code=2)
    assert kfp.kept["recurring"] == [foreign]


@pytest.mark.parametrize("change", ["cron", "delete"])
def test_a_run_in_progress_outlives_its_schedule(kfp: KfpServer, verb: Verb, change: str) -> None:
    schedule(verb, kfp)
    kfp.workflows = {"run-in-progress": kfp.kept["recurring"][0]["recurring_run_id"]}
    if change == "cron":
        schedule(verb, kfp, cron=DAILY)
    else:
        act(verb, kfp, "delete")
    assert "run-in-progress" in kfp.workflows
    assert any(r.startswith("DELETE /recurringruns/") for r in kfp.requests)


def test_resuming_says_which_missed_time_is_run_at_once(kfp: KfpServer, verb: Verb) -> None:
    schedule(verb, kfp, cron=DAILY)
    act(verb, kfp, "pause")
    assert re.search(
        r"resumed; its time 20\d\d-\d\d-\d\d 02:30:00 UTC was missed: KFP starts", act(verb, kfp, "resume")
    )
    assert "missed" not in act(verb, kfp, "resume"), "it was enabled, so nothing was missed"
    act(verb, kfp, "pause")
    kfp.kept["recurring"][0]["updated_at"] = datetime.now(UTC).isoformat()
    schedule(verb, kfp, cron="0 0 0 1 1 *")
    kfp.kept["recurring"][0]["created_at"] = datetime.now(UTC).isoformat()
    assert "missed" not in act(verb, kfp, "resume")


def test_two_uploads_within_a_second_leave_no_doubt_which_is_the_latest(
    kfp: KfpServer, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.cluster.uploads.TIE_SECONDS", 0)
    schedule(verb, kfp)
    kfp.same_second = 1
    said = schedule(verb, kfp, "--set", "sft.max_steps=4")
    versions = kfp.kept["version"]
    newest = max(v["created_at"] for v in versions)
    (latest,) = (v for v in versions if v["created_at"] == newest)
    assert f"pipeline version {latest['display_name']} (uploaded)" in said
    assert latest["description"] == versions[1]["description"], "the second upload again, a second later"


def test_the_list_reads_every_page(kfp: KfpServer, verb: Verb) -> None:
    for name in ("a", "b", "c", "d", "e"):
        assert verb("schedule", "--name", name, "--cron", SUNDAYS, *SMOKE, "--host", kfp.url).code == 0
    assert [line.split()[0] for line in act(verb, kfp, "list").splitlines()] == ["a", "b", "c", "d", "e"]


def test_schedules_of_a_namespace(verb: Verb) -> None:
    server = KfpServer(multi_user=True, token=CANARY)
    schedule(verb, server, "--namespace", "team-a")
    assert "unchanged" in schedule(verb, server, "--namespace", "team-a")
    assert server.breaches == []
    server.close()


@pytest.mark.parametrize("kind", ["lost", "unanswered"])
@pytest.mark.parametrize("paused", [False, True])
def test_a_change_interrupted_anywhere_is_finished_by_saying_it_again(
    verb: Verb, monkeypatch: pytest.MonkeyPatch, paused: bool, kind: Any
) -> None:
    """Ctrl-C at each changing request in turn, which the server has carried out or not."""
    struck = []
    for request in ("POST /recurringruns$", ":disable", ":enable", "DELETE"):
        kfp = KfpServer(token=CANARY)
        schedule(verb, kfp)
        if paused:
            act(verb, kfp, "pause")
        kfp.faults = [(request, kind)]
        with monkeypatch.context() as patch:
            patch.setattr("tenacity.nap.time.sleep", lambda _: signal.raise_signal(signal.SIGINT))
            ended = verb("schedule", "--name", "weekly", "--cron", DAILY, *SMOKE, "--host", kfp.url)
        struck += [request] if ended.code == 130 else []
        kfp.faults = []
        assert kfp.most_enabled == 1
        schedule(verb, kfp, cron=DAILY)
        (run,) = kfp.kept["recurring"]
        assert run["trigger"]["cron_schedule"]["cron"] == DAILY
        assert run["mode"] == ("DISABLE" if paused else "ENABLE"), (request, kind)
        assert kfp.most_enabled == 1
        assert kfp.breaches == []
        kfp.close()
    assert struck == ["POST /recurringruns$", *(() if paused else (":disable", ":enable")), "DELETE"]


@pytest.mark.parametrize("seed", range(6))
def test_a_life_in_bad_weather_ends_as_in_good(kfp: KfpServer, verb: Verb, seed: int) -> None:
    """A quarter of all requests fail in one of four ways; some were carried out all the same."""
    kfp.weather = (random.Random(seed), 0.25)
    schedule(verb, kfp)
    schedule(verb, kfp, cron=DAILY)
    act(verb, kfp, "pause")
    schedule(verb, kfp, "--set", "sft.max_steps=4", cron=SUNDAYS)
    act(verb, kfp, "resume")
    (run,) = kfp.kept["recurring"]
    assert (run["mode"], run["trigger"]["cron_schedule"]["cron"]) == ("ENABLE", SUNDAYS)
    assert kfp.most_enabled == 1
    assert {kind: len(kept) for kind, kept in kfp.kept.items()} == {
        "experiment": 1, "pipeline": 1, "version": 2, "run": 0, "recurring": 1,
    }  # fmt: skip
    act(verb, kfp, "delete")
    assert kfp.kept["recurring"] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--cron", "0 3 * * 0"), "five fields; Kubeflow Pipelines wants six, seconds first: --cron '0 0 3 * * 0'"),
        (("--cron", "@daily"), "1 fields instead of six (seconds, minutes, hours"),
        (("--cron", "0 0 24 * * *"), "hours '24': write *, a number 0-23"),
        (("--cron", "0 0 3 * * 7"), "day of week '7': write *, a number 0-6 or SUN-SAT"),
        (("--cron", "0 0 3 * FOO *"), "month 'FOO'"),
        (("--cron", "0 */0 3 * * *"), "minutes '*/0'"),
        (("--cron", "0 30-10 3 * * *"), "minutes '30-10'"),
        (("--cron", "0 0 3 30 2 *"), "no such date within 5 years; the schedule would never run"),
        ((), "--cron: say when"),
        (("--cron", SUNDAYS, "--pause"), "--pause goes without --cron"),
        (("--name", "Weekly!", "--cron", SUNDAYS), "--name Weekly!: give up to 40"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused_before_anything_is_asked(
    kfp: KfpServer, verb: Verb, arguments: tuple[str, ...], says: str
) -> None:
    ended = verb("schedule", "--name", "weekly", *SMOKE, "--host", kfp.url, *arguments)
    assert ended.code == 2
    assert says in ended.stderr
    assert kfp.requests == []


def test_every_form_of_a_field_is_taken() -> None:
    for text in ("0 0 3 * * 0", "0 */15 8-18 ? JAN,jul MON-FRI", "0,30 5/10 0 1-31/2 12 6", "*/5 * * * * ?"):
        assert parse_cron(f" {text.replace(' ', '  ')} ") == text


@pytest.mark.parametrize(
    ("cron", "comes"),
    [
        (SUNDAYS, datetime(2026, 3, 8, 3, tzinfo=UTC)),
        ("30 */20 ? * * ?", datetime(2026, 3, 2, 12, 20, 30, tzinfo=UTC)),
        ("0 0 0 29 2 ?", datetime(2028, 2, 29, tzinfo=UTC)),
        ("0 0 0 31 4,6 *", None),
    ],
)
def test_seconds_come_first_and_what_never_comes_is_known(cron: str, comes: datetime | None) -> None:
    assert next_time(cron, datetime(2026, 3, 2, 12, 0, 31, tzinfo=UTC)) == comes


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)), st.sampled_from([SUNDAYS, DAILY, "30 */20 ? * * ?"]))
def test_the_last_time_is_the_one_before_the_next(moment: datetime, cron: str) -> None:
    last = last_time(cron, moment.replace(tzinfo=UTC))
    assert last is not None and last <= moment.replace(tzinfo=UTC)
    following = next_time(cron, last)
    assert following is not None and following > moment.replace(tzinfo=UTC)
    assert last_time(cron, last) == last


@given(st.text(alphabet="0123456789*/-,? JANSU", max_size=24))
def test_any_text_is_an_expression_of_six_fields_or_refused(text: str) -> None:
    try:
        assert len(parse_cron(text).split()) == 6
    except InputError as error:
        assert str(error).startswith("--cron")


def test_the_run_date_goes_to_doctor_as_kfp_resolves_it_and_from_there_to_mlflow(store_uri: str) -> None:
    from kfp import dsl
    from mlflow import MlflowClient

    from components.platform.storage.plan import Plan
    from components.platform.tracking import runs as tracking
    from pipelines import guarded as guard
    from pipelines.compile import compiled
    from pipelines.settings.profile import load_profile
    from pipelines.settings.training_recipe import load_training_recipe

    placeholder = dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER
    # KFP's driver looks for it as the whole constant of a task's input, and only there.
    text = compiled(load_training_recipe("smoke"), load_profile("kind"))
    assert re.search(rf"run_date:\s+runtimeValue:\s+constant: '{re.escape(placeholder)}'\n", text)
    for date, kept in (("2026-11-22T03:00:00Z", "2026-11-22T03:00:00Z"), (placeholder, None)):
        run = f"run-{bool(kept)}"
        guard.doctor.python_func(Plan(tags={"recipe": "smoke"}, data={}, stages={}).text, run, date)
        tags = MlflowClient().get_run(tracking.parent_run(run)).data.tags
        assert (tags["recipe"], tags.get("started")) == ("smoke", kept)
