"""The stand-ins are fair: a good conversation, through a minimal worker, has no violations."""

import asyncio
import ssl
import subprocess

from flow.bridge import Bridge, FakeWarmer
from scenarios import harbour_dental
from standins import caller, g711, realtime_rules, speech
from standins.realtime import Provider
from standins.scenario import Scenario, turn
from standins.tls import Authority

CALLER, CALLED = "+14155550123", "+14155550199"


def converse(scenario: Scenario, authority: Authority | None = None):
    async def run():
        unknown: list[str] = []

        def on_event(session, direction, event):
            if direction == "out":
                event = event | ({"delta": ""} if isinstance(event.get("delta"), int) else {})
                try:
                    realtime_rules.validate_server_event(event)
                except realtime_rules.Refused as refusal:
                    unknown.append(f"{event['type']}: {refusal}")

        provider = Provider(scenario, on_event=on_event)
        await provider.start(tls=authority.server_context() if authority else None)
        trust = ssl.create_default_context(cafile=authority.certificate) if authority else None
        bridge = Bridge(provider.url, trust)
        async with FakeWarmer(bridge.serve) as warmer, warmer.carrier() as carrier:
            script = caller.follow(scenario, lambda _: provider.idle())
            call = carrier.place_call(CALLER, CALLED, script)
            await call.wait_ended(90)
        await provider.stop()
        call.check()
        provider.check()
        assert unknown == []
        return call, provider, bridge

    return asyncio.run(run())


LAST_TURN = [
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
    "response.created",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.done",
    "rate_limits.updated",
]


def test_a_whole_conversation_has_no_violations():
    scenario = harbour_dental.scenario()
    call, provider, bridge = converse(scenario)
    (session,) = provider.sessions
    assert [name for name, _ in bridge.tool_calls] == [
        "set_customer_name",
        "book_appointment",
        "end_call",
    ]
    assert bridge.transcripts[:2] == [one.caller for one in scenario.turns][:2]
    assert len(session.tool_outputs) == 2
    # Barge-in: the queue was cleared, the memory of the AI cut to what was heard.
    (clear,) = call.data("clear")
    assert clear["dropped_ms"] > 1000
    (cut,) = session.truncations
    assert 1900 <= cut.audio_end_ms <= 3500 and cut.audio_end_ms < cut.sent_ms
    # One turn from its first sound to its last event, as the vendor documents it.
    kinds = [entry.event["type"] for entry in session.log if entry.direction == "out"]
    begin = len(kinds) - 1 - kinds[::-1].index("input_audio_buffer.speech_started")
    once = [kind for kind in dict.fromkeys(kinds[begin:]) if "transcription" not in kind]
    assert once == LAST_TURN
    # The transcription of a turn arrives after its response has begun.
    transcribed = session.sent("conversation.item.input_audio_transcription.completed")
    created = session.sent("response.created")
    assert created[1].ms < transcribed[0].ms
    assert call.status == "completed"


def test_interrupting_a_response_that_is_still_generated_cancels_it():
    long = "This is a rather long answer. " * 12
    scenario = Scenario(
        "cancel",
        "Hello.",
        (turn("Hi.", long), turn("Stop.", "Yes?", interrupts_after_ms=400)),
        caller_hangs_up=True,
    )
    call, provider, _ = converse(scenario)
    done = [entry.event["response"] for entry in provider.sessions[0].sent("response.done")]
    assert [response["status"] for response in done] == ["completed", "cancelled", "completed"]
    assert done[1]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert done[1]["output"][0]["status"] == "incomplete"
    assert "stop" in [event.kind for event in call.events]


def test_conversation_over_tls(tmp_path):
    authority = Authority(tmp_path)
    scenario = Scenario("tls", "Hello.", (turn("Goodbye.", "Goodbye."),), caller_hangs_up=True)
    call, _, _ = converse(scenario, authority)
    assert call.heard_ms() > 300
    shown = subprocess.run(
        ["openssl", "verify", "-CAfile", authority.certificate, authority.server_certificate],
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr


def test_speech_has_two_voices_without_long_pauses():
    one = speech.speak("Hello. This is a test.", speech.CALLER)
    assert one != speech.speak("Hello. This is a test.", speech.ASSISTANT)
    assert 500 < g711.milliseconds(one) < 4000 and g711.rms(one) > 500
    frames = [g711.rms(one[at : at + 160]) for at in range(0, len(one), 160)]
    assert frames[0] > 100 and frames[-1] > 100
    longest = max(len(run) for run in "".join("q" if f < 100 else "." for f in frames).split("."))
    assert longest * 20 <= speech.MAX_PAUSE_MS
