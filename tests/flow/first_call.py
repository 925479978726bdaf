"""What must be true after the demo's call: one check per promise. The flow test asserts them one by
one; the demo prints them."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Callable

from scenarios import harbour_dental
from standins import speech
from standins.call import Call
from standins.elevenlabs_session import Session as AgentSession
from standins.realtime_session import Session

from .stage import Stage

# Marks are acknowledged per chunk of AI audio, and travel both ways.
HEARD_TOO_LITTLE_MS = 400
HEARD_TOO_MUCH_MS = 100
FRAME_BYTES = 160  # 20 ms of mu-law


@dataclass
class Evidence:
    """A finished and flushed call with everything that saw it."""

    stage: Stage
    call: Call
    session: Session | AgentSession  # of the AI provider
    context: dict[str, str]
    journal: list[tuple[str, dict[str, str]]]
    ledger: dict
    turns: list[dict]

    @property
    def greeting(self) -> str:
        return self.stage.scenario.greeting

    @property
    def fleet(self):
        return self.stage.fleet

    def call_log(self) -> dict:
        (row,) = self.fleet.sql("select * from call_log where call_sid = %s", self.call.sid)
        return row

    def live_statements(self) -> list[str]:
        """SQL between the first sound of the greeting and the end of the call in Redis."""
        begin = self.call.wall(self.call.times("assistant-begin")[0])
        end = float(self.fleet.session(self.call.sid)["ended_ms"]) / 1000
        assert end > begin
        return self.fleet.statements_between(begin, end)

    @property
    def silence_filled(self) -> int:
        """Bytes; of all calls of the workers that still run."""
        running = [one for one in self.fleet.workers if one.process.poll() is None]
        return int(sum(one.metrics()["ringfleet_silence_filled_bytes_total"] for one in running))

    def since_call_began(self, clock_ms: float) -> float:
        return clock_ms - self.call.began_ms


def play(stage: Stage) -> Evidence:
    """Plays the stage's scenario from the first ring to the last commit."""
    call = stage.start_call(harbour_dental.CALLER_NUMBER, harbour_dental.BUSINESS_NUMBER)
    stage.finish(call)
    fleet = stage.fleet
    ledger = fleet.wait_flushed(call.sid)
    turns = fleet.sql("select * from conversation_turn where call_sid = %s order by seq", call.sid)
    (session,) = stage.provider.talking()
    return Evidence(
        stage, call, session, fleet.context(call.sid), fleet.journal(call.sid), ledger, turns
    )


def webhook_answered(e: Evidence) -> None:
    first = e.call.data("twiml")[0]
    assert first["ms"] < 1000, f"the webhook took {first['ms']:.0f} ms"
    (connect,) = [verb for verb in e.call.answers[0].verbs if verb.name == "Connect"]
    assert connect.attributes["action"].startswith("https://phone.example.test/voice/after/0")
    (parameter,) = connect.children[0].children
    assert parameter.attributes["name"] == "token"


def context_in_redis(e: Evidence) -> None:
    assert e.context["business_name"] == "Harbour Dental"
    assert e.context["greeting"] == e.greeting
    assert "Harbour Dental" in e.context["prompt_compact"]
    assert "set_customer_name" in e.context["prompt_full"]


def loaded_in_one_round_trip(e: Evidence) -> None:
    """One load per call; its booked times and the record of the attempt travel in the same round trip."""
    begin, end = e.call.began_wall, e.call.wall(e.call.times("assistant-begin")[0])
    statements = e.fleet.statements_between(begin, end)
    marks = ("business_settings", "appointment", "insert into call_log")
    assert len(statements) == 3 and all(mark in one for mark, one in zip(marks, statements)), statements
    opened = [line["source"] for line in e.fleet.logged("call opened", e.call.sid)]
    assert opened == ["database"]


def greeting_heard(e: Evidence) -> None:
    assert e.call.times("assistant-begin")[0] < 3000
    clip = speech.speak(e.greeting, speech.ASSISTANT)
    assert bytes(e.call.received).startswith(clip), "the caller did not get the greeting verbatim"


def caller_heard(e: Evidence) -> None:
    for turn in e.stage.scenario.turns:
        clip = speech.speak(turn.caller, speech.CALLER)
        assert _contains(bytes(e.session.heard), clip, e.silence_filled), f"the AI did not get all of {turn.caller!r}"


def _contains(heard: bytes, clip: bytes, filled: int) -> bool:
    """Where the carrier's stand-in was held up (a busy machine), the worker filled its pause between two
    frames: the clip may be longer by as much silence as the worker counted."""
    frames = [re.escape(clip[i : i + FRAME_BYTES]) for i in range(0, len(clip), FRAME_BYTES)]
    found = re.search(b"\xff*".join(frames), heard, re.DOTALL)
    return found is not None and len(found[0]) <= len(clip) + filled


def name_detected(e: Evidence) -> None:
    rows = e.fleet.sql("select * from lead where id = %s", int(e.context["lead_id"]))
    assert [(row["full_name"], row["name_source"]) for row in rows] == [
        (harbour_dental.CALLER_NAME, "caller")
    ]


def barge_in(e: Evidence) -> None:
    memory_is_what_was_heard(e.call, e.session)
    interrupted = e.session.sent("response.done")[2].event["response"]
    assert interrupted["status"] == "cancelled", interrupted


def memory_is_what_was_heard(call: Call, session: Session) -> None:
    """One interruption: the queue was dropped and the AI's memory cut to match."""
    clears = call.data("clear")
    cuts = session.truncations
    assert len(clears) == len(cuts) == 1, (clears, cuts)
    heard = clears[0]["heard_ms"]
    assert clears[0]["dropped_ms"] > 0
    assert heard - HEARD_TOO_LITTLE_MS <= cuts[0].audio_end_ms <= heard + HEARD_TOO_MUCH_MS, (
        heard,
        cuts,
    )


def prompt_upgraded(e: Evidence) -> None:
    compact, full = e.context["prompt_compact"], e.context["prompt_full"]
    assert [one.text for one in e.session.instructions[:2]] == [compact, full]
    upgraded = e.since_call_began(e.session.instructions[1].ms)
    assert upgraded > e.call.times("assistant-begin")[0], "upgraded before the greeting was heard"
    second_turn = e.session.sent("input_audio_buffer.committed")[1]
    assert e.session.instructions_at(second_turn.ms) == full


def appointment_booked(e: Evidence) -> None:
    (row,) = e.fleet.sql("select * from appointment where call_sid = %s", e.call.sid)
    starts_at: datetime = harbour_dental.next_thursday_at_ten()
    assert row["starts_at"] == starts_at
    assert (row["ends_at"] - row["starts_at"]).total_seconds() == 30 * 60
    assert (row["title"], row["status"]) == ("Check-up", "booked")
    assert row["lead_id"] == int(e.context["lead_id"])


def tools_answered(e: Evidence) -> None:
    outputs = [item["output"] for item in e.session.tool_outputs]
    assert len(outputs) >= 2 and all(
        '"ok":true' in one.replace(" ", "") for one in outputs
    ), outputs


def turns_in_order(e: Evidence) -> None:
    scenario = e.stage.scenario
    expected = [("assistant", scenario.greeting, False)]
    for index, turn in enumerate(scenario.turns):
        expected.append(("caller", turn.caller, False))
        after = scenario.turns[index + 1] if index + 1 < len(scenario.turns) else None
        spoken = [reply.say for reply in turn.replies if reply.say]
        for place, text in enumerate(spoken):
            cut = after is not None and after.interrupts_after_ms and place + 1 == len(spoken)
            expected.append(("assistant", text, bool(cut)))
    found = [(row["speaker"], row["message"], row["interrupted"]) for row in e.turns]
    assert [(one[0], one[2]) for one in found] == [(one[0], one[2]) for one in expected], found
    for (_, message, interrupted), (_, text, _) in zip(found, expected):
        if interrupted:
            assert 0 < len(message) <= len(text) and text.startswith(message.rstrip(" .…")), message
        else:
            assert message.strip() == text


def journal_without_gaps(e: Evidence) -> None:
    ids = [entry_id for entry_id, _ in e.journal]
    assert ids == [f"1-{seq}" for seq in range(1, len(ids) + 1)], ids
    turns = [
        (int(entry_id.split("-")[1]), entry["speaker"], entry["message"])
        for entry_id, entry in e.journal
        if entry["type"] == "turn"
    ]
    assert turns == [(row["journal_seq"], row["speaker"], row["message"]) for row in e.turns]
    assert [row["seq"] for row in e.turns] == list(range(1, len(turns) + 1))
    assert f"{e.ledger['writes_epoch']}-{e.ledger['writes_seq']}" == ids[-1]


def call_completed(e: Evidence) -> None:
    row = e.call_log()
    (ended,) = e.call.data("ended")
    assert (row["status"], ended) == ("completed", "completed")
    lasted = (e.call.times("ended")[0] - e.call.times("start")[0]) / 1000
    assert abs(row["duration_seconds"] - lasted) <= 2, (row["duration_seconds"], lasted)
    assert row["end_reason"], row
    assert row["lead_id"] == int(e.context["lead_id"])


def assistant_hung_up(e: Evidence) -> None:
    closed = e.call.data("socket-closed")[0]
    assert closed["by"] == "server" and closed["code"] in (1000, 1001), closed
    last = e.call.data("twiml")[-1]
    assert "/voice/after/0" in last["url"] and "<Hangup" in last["body"], last
    heard = bytes(e.call.received)
    goodbye = speech.speak(e.stage.scenario.turns[-1].replies[-1].say, speech.ASSISTANT)
    assert heard.endswith(goodbye), "the goodbye was cut off"
    assert e.call.unplayed_ms == 0, f"{e.call.unplayed_ms} ms unheard"


def no_sql_in_the_call(e: Evidence) -> None:
    assert e.live_statements() == []


def no_complaints(e: Evidence) -> None:
    e.stage.check(e.call)


CHECKS: list[tuple[str, Callable[[Evidence], None]]] = [
    ("the webhook was answered with TwiML", webhook_answered),
    ("the context is in Redis", context_in_redis),
    ("it was loaded once", loaded_in_one_round_trip),
    ("the greeting was heard, byte for byte", greeting_heard),
    ("the AI heard the caller, byte for byte", caller_heard),
    ("the caller's name was stored", name_detected),
    ("barge-in: the AI remembers what was heard", barge_in),
    ("the full prompt took over", prompt_upgraded),
    ("the appointment is booked", appointment_booked),
    ("the tools were answered", tools_answered),
    ("all turns landed, in order", turns_in_order),
    ("the journal has no gap and is applied", journal_without_gaps),
    ("the call is completed", call_completed),
    ("the assistant hung up after its goodbye", assistant_hung_up),
    ("no SQL between greeting and hangup", no_sql_in_the_call),
    ("carrier and AI have no complaints", no_complaints),
]


# ---- the same call with an agent, which is asked nothing and told everything at once ----


def agent_knew_all(e: Evidence) -> None:
    (begun,) = e.session.received("conversation_initiation_client_data")
    assert begun.event["user_id"] == e.call.sid
    assert e.session.overrides == {
        "agent.prompt.prompt": e.context["prompt_full"],
        "agent.first_message": e.greeting,
        "agent.language": e.context["language"],
        "tts.voice_id": e.context["voice"],
    }
    sent = {one.event["type"] for one in e.session.log if one.direction == "in"}
    assert sent == {
        "conversation_initiation_client_data",
        "user_audio_chunk",
        "pong",
        "client_tool_result",
    }


def agent_barge_in(e: Evidence) -> None:
    """The queue was dropped, what came late is not heard, and the turn is what the agent believes."""
    (cleared,) = e.call.data("clear")
    assert cleared["dropped_ms"] > 0
    (correction,) = e.session.corrections
    assert b"\x2a" * 800 not in bytes(e.call.received)
    (interrupted,) = [row["message"] for row in e.turns if row["interrupted"]]
    assert correction[0].startswith(interrupted) and interrupted == correction[1] != ""


def conversation_id_kept(e: Evidence) -> None:
    (row,) = e.fleet.sql("select data from call_session where call_sid = %s", e.call.sid)
    assert row["data"]["conversation_id"] == e.session.id


_ONLY_ASKED = {barge_in, prompt_upgraded}
AGENT_CHECKS = [one for one in CHECKS if one[1] not in _ONLY_ASKED] + [
    ("the agent knew all from its first message", agent_knew_all),
    ("barge-in: the turn is what the agent believes", agent_barge_in),
    ("the conversation's id is kept", conversation_id_kept),
]
