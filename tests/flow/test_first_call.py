"""The demo's call through the real programs, promise by promise, and what must not get through."""

import pytest

from flow import first_call
from flow.servers import eventually
from flow.stage import Stage
from scenarios import harbour_dental
from standins.carrier import Faults
from standins.scenario import Scenario, turn

pytestmark = pytest.mark.usefixtures("programs")

NUMBERS = (harbour_dental.CALLER_NUMBER, harbour_dental.BUSINESS_NUMBER)
SHORT = Scenario(
    "short",
    "Thank you for calling Harbour Dental. May I have your name, please?",
    (turn("What time is it?", "It is noon."),),
    caller_hangs_up=True,
)


@pytest.fixture(scope="module")
def evidence():
    with Stage(harbour_dental.scenario()) as stage:
        yield first_call.play(stage)


@pytest.mark.parametrize(
    "title, check", first_call.CHECKS, ids=[one[0] for one in first_call.CHECKS]
)
def test_the_demo_call(evidence, title, check):
    check(evidence)


def test_metrics_tell_the_same(evidence):
    """What happened, and how long each stage took, without a library in between."""
    (worker,) = evidence.fleet.workers
    metrics = worker.metrics()
    assert value(metrics, "calls_claimed_total") == 1
    assert value(metrics, "calls_active") == 0
    assert value(metrics, "barge_ins_total") == 1
    assert value(metrics, 'turns_total{speaker="caller"}') == 3
    assert value(metrics, "prompt_upgrade_seconds_count") == 1
    assert value(metrics, "ai_refused_total") == 0
    for stage in ("claim", "ai_ready", "first_audio"):
        assert value(metrics, f"{stage}_seconds_count") == 1
        assert 0 <= value(metrics, f"{stage}_seconds_sum") < 3
    flusher = evidence.fleet.flusher.metrics()
    assert value(flusher, "calls_flushed_total") >= 1
    assert value(flusher, "journal_gaps_total") == 0
    assert value(flusher, "journal_entries_dead_total") == 0


def value(metrics: dict[str, float], name: str) -> float:
    return metrics["ringfleet_" + name]


def test_logs_are_json_and_name_nobody(evidence):
    for program in evidence.fleet.programs():
        lines = program.log()
        assert [line["raw"] for line in lines if "raw" in line] == []
        assert {line["program"] for line in lines} == {program.kind}
        text = program.text()
        assert harbour_dental.CALLER_NUMBER not in text
        assert harbour_dental.CALLER_NAME not in text


# ---- the same fleet, other calls; each takes the stage as the first call has left it ----


@pytest.fixture
def stage(evidence):
    stage = evidence.stage
    stage.scenario = SHORT
    stage.provider.play(SHORT)
    return stage


def test_the_webhook_delivered_twice_is_one_call(stage):
    sessions = len(stage.provider.talking())
    call = stage.start_call(*NUMBERS, faults=Faults(duplicate_incoming=True, status_copies=2))
    stage.finish(call)
    first, again = [one["body"] for one in call.data("twiml")][:2]
    assert first == again
    stage.fleet.wait_flushed(call.sid)
    rows = stage.fleet.sql("select status from call_log where call_sid = %s", call.sid)
    assert [row["status"] for row in rows] == ["completed"]
    assert len(stage.provider.talking()) == sessions + 1
    stage.check(call)


def test_interrupting_speech_that_was_generated_long_ago(stage):
    scenario = Scenario(
        "late interruption",
        SHORT.greeting,
        (
            turn(
                "Tell me about it.", "There is a lot to tell, so please sit down and listen. " * 3
            ),
            turn("Stop, please.", "Of course.", interrupts_after_ms=2000),
        ),
        caller_hangs_up=True,
    )
    stage.scenario = scenario
    stage.provider.play(scenario)
    stage.provider.audio_speed = 40
    try:
        call = stage.finish(stage.start_call(*NUMBERS))
    finally:
        stage.provider.audio_speed = 5
    session = stage.provider.talking()[-1]
    statuses = [one.event["response"]["status"] for one in session.sent("response.done")]
    assert statuses == ["completed"] * 3  # nothing was left to cancel
    first_call.memory_is_what_was_heard(call, session)
    stage.fleet.wait_flushed(call.sid)
    turns = stage.fleet.sql(
        "select speaker, interrupted from conversation_turn where call_sid = %s order by seq",
        call.sid,
    )
    assert [(row["speaker"], row["interrupted"]) for row in turns] == [
        ("assistant", False),
        ("caller", False),
        ("assistant", True),
        ("caller", False),
        ("assistant", False),
    ]
    stage.check(call)


def test_a_caller_who_hangs_up_in_mid_sentence_is_flushed_too(stage):
    async def script(call):
        await call.hear(500)
        call.hang_up()

    call = stage.finish(stage.start_call(*NUMBERS, script))
    stage.fleet.wait_flushed(call.sid)
    turns = stage.fleet.sql(
        "select speaker, interrupted from conversation_turn where call_sid = %s", call.sid
    )
    assert turns == [{"speaker": "assistant", "interrupted": True}]
    stage.check(call)


def test_a_forged_webhook_changes_nothing(stage):
    faults = Faults(forge_signature=True)
    call = stage.finish(stage.start_call(*NUMBERS, faults=faults, silent=True), 20)
    assert {one["status"] for one in call.data("webhook")} == {403}
    assert stage.fleet.context(call.sid) == stage.fleet.session(call.sid) == {}
    assert stage.fleet.sql("select 1 from call_log where call_sid = %s", call.sid) == []


async def hang_up(call) -> None:
    call.hang_up()


@pytest.mark.parametrize("kind", ["invented", "of another call"])
def test_a_wrong_token_reaches_no_ai(stage, evidence, kind):
    talking = len(stage.provider.talking())
    other = stage.fleet.session(evidence.call.sid)["token:0"]
    faults = Faults(replace_token="0" * len(other) if kind == "invented" else other)
    call = stage.start_call(*NUMBERS, faults=faults, silent=True)
    eventually("some refusals", lambda: len(call.data("socket-closed")) >= 3)
    stage.run(hang_up(call))
    stage.finish(call)
    closed = call.data("socket-closed")
    assert all(one["by"] == "server" and one["code"] for one in closed), closed
    assert not call.received
    assert len(stage.provider.talking()) == talking
    stage.check(call)


def test_the_ai_leg_over_tls(tmp_path):
    with Stage(SHORT, tls_directory=tmp_path) as stage:
        assert stage.provider.url.startswith("wss://")
        call = stage.finish(stage.start_call(*NUMBERS))
        stage.fleet.wait_flushed(call.sid)
        turns = stage.fleet.sql(
            "select message from conversation_turn where call_sid = %s order by seq", call.sid
        )
        assert [row["message"] for row in turns] == [
            SHORT.greeting,
            "What time is it?",
            "It is noon.",
        ]
        stage.check(call)
