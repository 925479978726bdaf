"""What the assistant can do in a call: look up free times, book, take messages, transfer, and ask
the business's own system. Through real Redis, with Postgres looked at only afterwards."""

import asyncio
import itertools
import json
from datetime import datetime, timedelta, timezone
from typing import Iterator
from zoneinfo import ZoneInfo

import pytest

from flow.own_tools import SECRET, OwnSystem
from flow.servers import eventually
from flow.stage import Stage
from scenarios import harbour_dental
from standins import speech
from standins.call import Call
from standins.realtime_session import Session
from standins.scenario import Conversation, Reply, Scenario, Tool, tool, turn
from standins.tls import Authority

pytestmark = pytest.mark.usefixtures("programs")

NUMBERS = (harbour_dental.CALLER_NUMBER, harbour_dental.BUSINESS_NUMBER)
BERLIN = ZoneInfo("Europe/Berlin")
DAY = harbour_dental.next_thursday_at_ten().astimezone(BERLIN)
BUILT_IN = {
    "set_customer_name",
    "update_customer",
    "check_availability",
    "book_appointment",
    "take_message",
    "transfer_call",
    "end_call",
}
TRANSFERS = {"billing": "+49 30 1234-56", "workshop": "+4930777"}


def at(hour: int, minute: int = 0) -> datetime:
    """A time of the Thursday, by the business's clock."""
    return DAY.replace(hour=hour, minute=minute, second=0, microsecond=0)


def asking(*calls: Tool, then: str = "Done.") -> Scenario:
    """The caller says one thing, and the assistant calls these tools at once."""
    turns = (turn("Please.", Reply(calls=calls), then),)
    return Scenario("tools", "Hello.", turns, caller_hangs_up=True)


def booking(start: datetime, minutes: int = 30, title: str = "Check-up") -> Tool:
    return tool(
        "book_appointment", starts_at=start.isoformat(), duration_minutes=minutes, title=title
    )


def begin(stage: Stage, scenario: Scenario) -> Call:
    stage.scenario = scenario
    stage.provider.play(scenario)
    return stage.start_call(*NUMBERS)


def play(stage: Stage, *calls: Tool) -> tuple[Call, Session]:
    call = stage.finish(begin(stage, asking(*calls)))
    stage.check(call)
    return call, stage.provider.talking()[-1]


def outputs(session: Session) -> list[dict]:
    """What each tool answered, in the order in which the assistant called them."""
    answers = {item["call_id"]: json.loads(item["output"]) for item in session.tool_outputs}
    assert len(answers) == len(session.tool_outputs)
    called = [item["call_id"] for item in session.items.values() if item["type"] == "function_call"]
    return [answers[call_id] for call_id in called]


def metric(stage: Stage, name: str) -> float:
    return sum(worker.metrics()["ringfleet_" + name] for worker in stage.fleet.workers)


@pytest.fixture(scope="module")
def system(tmp_path_factory) -> Iterator[tuple[Stage, OwnSystem]]:
    authority = Authority(tmp_path_factory.mktemp("tools"))
    env = {"RINGFLEET_TOOL_CA_FILE": authority.certificate, "RINGFLEET_TOOL_ALLOW_PRIVATE": "1"}
    own = OwnSystem()
    with Stage(asking(), env=env) as stage:
        stage.run(own.start(authority.server_context()))
        set_up_business(stage, own)
        yield stage, own
        stage.run(own.stop())
    assert own.violations == []


def set_up_business(stage: Stage, own: OwnSystem) -> None:
    tools = [
        own.tool("find_order", "orders"),
        own.tool("say_text", "text"),
        own.tool("fail", "fail"),
        own.tool("too_slow", "held", timeout_ms=300),
        own.tool("slow", "held"),
        own.tool("huge", "huge"),
        own.tool("moved", "elsewhere"),
        own.tool("end_call", "orders"),
        {**own.tool("no_tls_name", "orders"), "url": f"https://127.0.0.2:{own.port}/orders"},
    ]
    settings = {"transfer_number": "+4930111", "transfer_numbers": TRANSFERS, "tools": tools}
    stage.fleet.sql("update business set timezone = 'Europe/Berlin'")
    stage.fleet.sql(
        "update business_settings set working_hours = %s, settings = %s",
        json.dumps({"thu": [["08:00", "20:00"]]}),
        json.dumps(settings),
    )


@pytest.fixture
def stage(system) -> Iterator[Stage]:
    """With an empty calendar."""
    stage, _ = system
    yield stage
    stage.fleet.sql("delete from appointment")
    for key in stage.fleet.redis().scan_iter("rf:slot:*"):
        stage.fleet.redis().delete(key)


@pytest.fixture
def own(system) -> OwnSystem:
    return system[1]


# ---- what is offered ----


def test_the_assistant_is_offered_what_the_business_has(stage):
    call, session = play(stage, tool("no_such_tool"))
    offered = {one["name"]: one for one in session.updates[0]["tools"]}
    assert set(offered) == BUILT_IN | {
        "find_order", "say_text", "fail", "too_slow", "slow", "huge", "moved", "no_tls_name",
    }  # fmt: skip
    assert offered["transfer_call"]["parameters"]["properties"]["to"]["enum"] == list(TRANSFERS)
    assert offered["end_call"]["description"] != "Asks the shop for orders."
    (left_out,) = stage.fleet.logged("tool of the business left out", call.sid)
    assert left_out["tool"] == "end_call" and "built-in" in left_out["why"]
    assert outputs(session) == [{"ok": False, "error": "there is no such tool"}]


# ---- the calendar ----


def test_availability(stage):
    business = stage.fleet.sql("select id from business")[0]["id"]
    stage.fleet.sql(
        "insert into appointment (business_id, call_sid, seq, starts_at, ends_at, title)"
        " values (%s, 'an earlier call', 1, %s, %s, 'Whitening')",
        business,
        at(9, 30),
        at(10),
    )
    utc = (at(10, 5)).astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    held = f"rf:slot:{{{business}}}:{utc}"
    stage.fleet.redis().set(held, "CA of another call", ex=60)
    look = tool("check_availability", **{"from": at(9).isoformat(), "to": at(12).isoformat()})
    sunday = (at(9) + timedelta(days=3)).date().isoformat()
    _, session = play(
        stage,
        look,
        tool("check_availability", date=at(9).date().isoformat(), duration_minutes=60),
        tool("check_availability", date=sunday),
        tool("check_availability", date="2020-01-01"),
    )
    morning, day, closed, past = outputs(session)
    free = [at(9), at(10, 30), at(11), at(11, 30)]
    assert morning["free_starts"] == [one.isoformat() for one in free]
    assert morning["ok"] is True and morning["more_later"] is False
    starts = [datetime.fromisoformat(one) for one in day["free_starts"]]
    assert len(starts) == 12 and day["more_later"] is True
    assert starts[:4] == [at(8), at(8, 30), at(10, 30), at(11)]  # an hour fits in here
    assert closed == {"ok": True, "free_starts": [], "more_later": False}
    assert past["ok"] is False and "passed" in past["error"]


@pytest.mark.parametrize(
    "second", [at(14), at(13, 45), at(14, 25)], ids=["same", "before", "after"]
)
def test_of_two_calls_only_one_gets_the_time(stage, second):
    starts = iter([at(14), second])
    stage.scenario = asking(booking(at(14)))
    stage.provider.play(lambda session: Conversation(asking(booking(next(starts)))))
    calls = [stage.start_call(*NUMBERS) for _ in range(2)]
    for call in calls:
        stage.check(stage.finish(call))
    answers = [outputs(session) for session in stage.provider.talking()[-2:]]
    assert [len(one) for one in answers] == [1, 1]
    won, lost = sorted((one[0] for one in answers), key=lambda one: not one["ok"])
    assert won["ok"] and not lost["ok"] and "taken" in lost["error"]
    for call in calls:
        stage.fleet.wait_flushed(call.sid)
    sids = [call.sid for call in calls]
    rows = stage.fleet.sql(
        "select starts_at, status from appointment where call_sid = any (%s)", sids
    )
    assert [row["status"] for row in rows] == ["booked"]
    assert rows[0]["starts_at"] == datetime.fromisoformat(won["starts_at"])


def test_asking_again_books_once(stage):
    call, session = play(stage, booking(at(16)), booking(at(16)))  # at the same moment
    first, again = outputs(session)
    assert first["ok"] and first["starts_at"] == at(16).isoformat()
    assert again == first or "already" in again["error"]
    stage.fleet.wait_flushed(call.sid)
    rows = stage.fleet.sql("select status from appointment where call_sid = %s", call.sid)
    assert [row["status"] for row in rows] == ["booked"]


def test_asking_again_later_in_the_call_books_once(stage):
    scenario = Scenario(
        "again",
        "Hello.",
        (
            turn("Please.", Reply(calls=(booking(at(16)),)), "Done."),
            turn("Are you sure?", Reply(calls=(booking(at(16)), booking(at(16, 15)))), "Yes."),
        ),
        caller_hangs_up=True,
    )
    call = stage.finish(begin(stage, scenario))
    stage.check(call)
    first, again, overlapping = outputs(stage.provider.talking()[-1])
    assert first["ok"] and again == first
    assert not overlapping["ok"] and "already" in overlapping["error"]
    stage.fleet.wait_flushed(call.sid)
    assert len(stage.fleet.sql("select 1 from appointment where call_sid = %s", call.sid)) == 1


def test_times_that_cannot_be_booked(stage):
    stage.fleet.sql(
        "insert into appointment (business_id, call_sid, seq, starts_at, ends_at, title)"
        " select id, 'an earlier call', 1, %s, %s, 'Whitening' from business",
        at(9),
        at(10),
    )
    call, session = play(
        stage,
        booking(at(9, 45)),
        booking(at(19, 45)),
        booking(at(12) + timedelta(days=1)),
        booking(at(12) - timedelta(days=14)),
    )
    errors = [one["error"] for one in outputs(session)]
    said = ("taken", "working hours", "working hours", "passed")
    assert all(word in error for word, error in zip(said, errors)), errors
    stage.fleet.wait_flushed(call.sid)
    assert stage.fleet.sql("select 1 from appointment where call_sid = %s", call.sid) == []
    assert list(stage.fleet.redis().scan_iter("rf:slot:*")) == []


def test_a_time_the_caller_was_never_told_of_is_given_back(stage):
    """The caller hangs up while Redis has not answered yet."""
    db = stage.fleet.redis()
    db.config_set("slowlog-log-slower-than", 0)

    async def script(call: Call) -> None:
        await call.hear(200)
        await call.wait_assistant_quiet()
        await call.say(speech.speak("Please.", speech.CALLER))
        db.execute_command("CLIENT", "PAUSE", 3000, "WRITE")
        await call.wait_for(lambda: tool_called(stage.provider.talking()[-1]), 2, "the tool call")
        frames = itertools.count()
        await call.wait_for(lambda: next(frames) > 10, 2, "ten frames")  # it is on its way to Redis
        call.hang_up()

    stage.scenario = asking(booking(at(18)))
    stage.provider.play(stage.scenario)
    call = stage.finish(stage.start_call(*NUMBERS, script))
    stage.fleet.wait_flushed(call.sid)
    db.config_set("slowlog-log-slower-than", -1)
    commands = [entry["command"].decode() for entry in db.slowlog_get(1000)]
    done = [name for name in ("rf_release", "rf_hold") if any(name in one for one in commands)]
    assert done == ["rf_release", "rf_hold"]
    assert list(db.scan_iter("rf:slot:*")) == []
    assert stage.fleet.sql("select 1 from appointment") == []
    stage.provider.check()  # not the carrier: Redis stood still, so its callback got a 503


@pytest.mark.parametrize("late", [False, True], ids=["in a moment", "too late to wait for"])
def test_the_caller_is_told_only_of_what_is_kept(stage, late):
    """The time is held and Redis takes no entries: a worker that dies now takes the appointment with it, so it is not
    confirmed before it is written; nor does the conversation wait for ever."""
    db = stage.fleet.redis()

    async def script(call: Call) -> None:
        def kept() -> list[str]:
            types = [one["type"] for _, one in stage.fleet.journal(call.sid)]
            return [one for one in types if one == "appointment_create"]

        await call.hear(200)
        await call.wait_assistant_quiet()
        session = stage.provider.talking()[-1]
        db.execute_command("ACL", "SETUSER", "default", "-xadd")
        try:
            await call.say(speech.speak("Please.", speech.CALLER))
            await call.wait_for(lambda: list(db.scan_iter("rf:slot:*")), 5, "the hold")
            frames = itertools.count()
            await call.wait_for(lambda: next(frames) > 25, 5, "half a second")
            assert session.tool_outputs == [] and kept() == []
            if late:
                await call.wait_for(lambda: session.tool_outputs, 5, "the end of the wait")
                assert kept() == []
        finally:
            db.execute_command("ACL", "SETUSER", "default", "+xadd")
        await call.wait_for(lambda: session.tool_outputs, 5, "the answer")
        if not late:
            assert kept() == ["appointment_create"]
        await call.wait_for(lambda: session.sent("response.done")[2:], 10, "the assistant's words")
        await call.wait_assistant_quiet()
        call.hang_up()

    stage.scenario = asking(booking(at(18)))
    stage.provider.play(stage.scenario)
    call = stage.finish(stage.start_call(*NUMBERS, script))
    (answer,) = outputs(stage.provider.talking()[-1])
    assert answer["ok"] is not late and ("not confirmed" in answer.get("error", "")) is late
    stage.fleet.wait_flushed(call.sid)
    rows = stage.fleet.sql("select starts_at from appointment where call_sid = %s", call.sid)
    assert [row["starts_at"] for row in rows] == [at(18)]
    stage.provider.check()


def tool_called(session: Session) -> bool:
    items = [one.event["item"] for one in session.sent("response.output_item.done")]
    return any(item["type"] == "function_call" for item in items)


# ---- the customer, messages, transfers ----


def test_message_and_customer(stage):
    call, _ = play(
        stage,
        tool("take_message", message="The tooth hurts again.", callback_number="+14155550111"),
        tool("update_customer", email="jane@example.test", notes="Prefers mornings."),
    )
    stage.fleet.wait_flushed(call.sid)
    (lead,) = stage.fleet.sql("select email, notes from lead where phone_number = %s", NUMBERS[0])
    assert lead["email"] == "jane@example.test"
    assert lead["notes"].splitlines() == [
        "Called last year about whitening.",
        "Message: The tooth hurts again. (call back: +14155550111)",
        "Prefers mornings.",
    ]
    (session,) = stage.fleet.sql("select data from call_session where call_sid = %s", call.sid)
    assert session["data"]["message"] == {
        "text": "The tooth hurts again.",
        "callback_number": "+14155550111",
    }


@pytest.mark.parametrize(
    "to, number", [("", "+4930111"), ("billing", "+4930123456")], ids=["default", "by name"]
)
def test_transfer(stage, to, number):
    said = "One moment, I connect you."
    transfer = Reply(said, calls=(tool("transfer_call", to=to, reason="wants an invoice"),))
    scenario = Scenario("transfer", "Hello.", (turn("Please.", transfer),))
    call = stage.finish(begin(stage, scenario))
    stage.check(call)
    assert call.data("dial-number") == [number]
    assert call.unplayed_ms == 0, "the goodbye was cut off"
    assert stage.fleet.session(call.sid)["verdict"] == f"transfer:{number}"
    stage.fleet.wait_flushed(call.sid)
    last = stage.fleet.sql(
        "select message, interrupted from conversation_turn where call_sid = %s"
        " order by seq desc limit 1",
        call.sid,
    )
    assert last == [{"message": said, "interrupted": False}]
    (row,) = stage.fleet.sql("select data from call_session where call_sid = %s", call.sid)
    assert row["data"]["transfer"] == {"number": number, "reason": "wants an invoice"}
    (row,) = stage.fleet.sql("select end_reason from call_log where call_sid = %s", call.sid)
    assert row["end_reason"] == "agent_transfer"


def test_a_transfer_to_a_number_of_somebody_elses_choice(stage):
    call, session = play(stage, tool("transfer_call", to="+15550100", reason="told so"))
    (answer,) = outputs(session)
    assert not answer["ok"] and "nobody by that name" in answer["error"]
    assert call.data("dial-number") == []


# ---- the business's own system ----


def test_own_tools(stage, own):
    call, session = play(
        stage,
        tool("find_order", number="42"),
        tool("say_text"),
        tool("fail"),
        tool("too_slow"),
        tool("huge"),
        tool("moved"),
        tool("no_tls_name"),
    )
    asked = [item for item in session.items.values() if item["type"] == "function_call"]
    answers = dict(zip((item["name"] for item in asked), outputs(session)))
    assert answers["find_order"] == {"ok": True, "result": {"state": "sent", "on": "Monday"}}
    assert answers["say_text"] == {"ok": True, "result": "It is on its way."}
    assert answers["fail"]["status"] == 500 and "stack trace" not in json.dumps(answers["fail"])
    assert not answers["too_slow"]["ok"] and "in time" in answers["too_slow"]["error"]
    assert answers["huge"] == {"ok": True, "result": "ä" * (16384 // 2 - 1), "cut": True}
    assert answers["moved"]["status"] == 302
    assert "cannot be reached" in answers["no_tls_name"]["error"]  # not what the certificate names
    assert own.bodies("/orders") == [
        {"call_sid": call.sid, "tool": "find_order", "arguments": {"number": "42"}}
    ]
    (key,) = [one.key for one in own.asked if one.path == "/orders"]
    assert key == asked[0]["call_id"]
    stage.run(asked_to_leave(own, "/held"))
    assert SECRET not in "".join(program.text() for program in stage.fleet.programs())


def test_one_answer_to_all_tools(stage):
    """The first is done before the second is called, and the second before the AI may be asked to go on. It must not
    be asked before it knows what both have answered, nor twice."""
    _, session = play(stage, tool("say_text"), tool("too_slow"))
    assert [one["ok"] for one in outputs(session)] == [True, False]
    sent = [one.event["type"] for one in session.log if one.direction == "in"]
    told = sent.index("conversation.item.create")
    after = [one for one in sent[told:] if one != "input_audio_buffer.append"]
    assert after == ["conversation.item.create", "conversation.item.create", "response.create"]


async def asked_to_leave(own: OwnSystem, path: str) -> None:
    """The request that nobody waits for any more was let go."""
    async with asyncio.timeout(5):
        while path not in own.left:
            await asyncio.sleep(0.01)
    own.left.remove(path)


def test_hanging_up_cancels_what_is_under_way(stage, own):
    before = len(own.bodies("/held"))

    async def script(call: Call) -> None:
        await call.hear(200)
        await call.wait_assistant_quiet()
        await call.say(speech.speak("Please.", speech.CALLER))
        await call.wait_for(lambda: len(own.bodies("/held")) > before, 20, "the request")
        call.hang_up()

    stage.scenario = asking(tool("slow"))
    stage.provider.play(stage.scenario)
    call = stage.finish(stage.start_call(*NUMBERS, script))
    stage.run(asked_to_leave(own, "/held"))
    stage.check(call)
    assert stage.provider.talking()[-1].tool_outputs == []
    assert stage.fleet.wait_flushed(call.sid)
    assert stage.fleet.logged("call ended", call.sid)[-1]["reason"] == "carrier_stop"


def test_a_tool_that_answers_while_the_caller_speaks(stage, own):
    """Nobody speaks into the caller's words, and the answer to those is the tool's as well: there is one."""
    first, second = turn("Please.", Reply(calls=(tool("slow"),))), turn("Could you hurry up?", "Here it is.")

    async def script(call: Call) -> None:
        await call.wait_for(lambda: call.quiet_ms() > 500 and stage.provider.idle(), 20, "the greeting")
        before = len(own.bodies("/held"))
        await call.say(speech.speak(first.caller, speech.CALLER), first.caller)
        await call.wait_for(lambda: len(own.bodies("/held")) > before, 20, "the request")
        session = stage.provider.talking()[-1]
        saying = asyncio.create_task(call.say(speech.speak(second.caller, speech.CALLER), second.caller))
        started = lambda: len(session.sent("input_audio_buffer.speech_started")) == 2  # noqa: E731
        await call.wait_for(started, 20, "the caller's words")
        own.release.set()
        await saying
        await call.hear(500)
        await call.wait_for(lambda: call.quiet_ms() > 2500, 20, "nothing more to be said")
        call.hang_up()

    stage.scenario = Scenario("hurry", "Hello.", (first, second), caller_hangs_up=True)
    stage.provider.play(stage.scenario)
    call = stage.finish(stage.start_call(*NUMBERS, script))
    own.release.clear()
    stage.check(call)
    session = stage.provider.talking()[-1]
    (told,) = [one.ms for one in session.received("conversation.item.create") if one.event["item"]["type"] != "message"]
    stopped = session.sent("input_audio_buffer.speech_stopped")[1].ms
    assert told < stopped
    begun = [one.ms for one in session.sent("response.created") if one.ms > told]
    assert len(begun) == 1 and begun[0] >= stopped


def test_a_repeated_tool_call_is_answered_once(stage, own):
    repeated = 'tool_calls_total{result="repeated"}'
    count = metric(stage, repeated)
    before = len(own.bodies("/orders"))
    call = begin(stage, asking(tool("find_order", number="7"), then="One. Two. Three. Four. Five."))
    eventually("the request", lambda: len(own.bodies("/orders")) > before)
    session = stage.provider.talking()[-1]
    eventually("the tool's answer", lambda: session.tool_outputs)
    items = [one.event for one in session.sent("response.output_item.done")]
    (done,) = [event for event in items if event["item"]["type"] == "function_call"]
    again = {name: done[name] for name in ("response_id", "output_index", "item")}
    stage.run(session.send("response.output_item.done", **again))
    eventually("the repetition", lambda: metric(stage, repeated) == count + 1)
    stage.check(stage.finish(call))
    assert len(session.tool_outputs) == 1
    assert len(own.bodies("/orders")) == before + 1


def test_the_next_session_is_told_what_the_last_one_asked_for(stage, own):
    before = len(own.bodies("/held"))
    call = begin(stage, asking(tool("slow")))
    eventually("the request", lambda: len(own.bodies("/held")) > before)
    lost = stage.provider.talking()[-1]
    stage.run(drop(lost))
    eventually("another session", lambda: stage.provider.talking()[-1] is not lost)
    stage.run(let_go(own))
    told = eventually("the answer in words", lambda: system_words(stage.provider.talking()[-1]))
    stage.check(stage.finish(call))
    own.release.clear()
    assert len(told) == 1 and "slow" in told[0] and '{"late":true}' in told[0]
    assert stage.provider.talking()[-1].tool_outputs == []
    assert len(own.bodies("/held")) == before + 1


async def drop(session: Session) -> None:
    session.drop()


async def let_go(own: OwnSystem) -> None:
    own.release.set()


def system_words(session: Session) -> list[str]:
    created = [one.event["item"] for one in session.received("conversation.item.create")]
    return [item["content"][0]["text"] for item in created if item.get("role") == "system"]


def test_own_tools_reach_only_the_public_internet(tmp_path):
    authority = Authority(tmp_path)
    own = OwnSystem()
    with Stage(asking(), env={"RINGFLEET_TOOL_CA_FILE": authority.certificate}) as stage:
        stage.run(own.start(authority.server_context()))
        tools = [
            own.tool("by_name", "orders"),
            {**own.tool("by_number", "orders"), "url": f"https://127.0.0.1:{own.port}/orders"},
            {**own.tool("metadata", "orders"), "url": "https://169.254.169.254/latest/meta-data/"},
            {**own.tool("plain", "orders"), "url": f"http://127.0.0.1:{own.port}/orders"},
        ]
        settings = json.dumps({"tools": tools})
        stage.fleet.sql("update business_settings set settings = %s", settings)
        _, session = play(stage, *(tool(one["name"]) for one in tools))
        assert len(session.tool_outputs) == len(tools)
        assert all("cannot be reached" in one["error"] for one in outputs(session))
        assert metric(stage, 'tool_requests_total{result="refused"}') == 3
        # http:// is not even tried.
        assert metric(stage, 'tool_requests_total{result="failed"}') == 1
        offered = {one["name"] for one in session.updates[0]["tools"]}
        assert "transfer_call" not in offered  # nowhere to transfer to
        stage.run(own.stop())
    assert own.asked == [] and own.violations == []
