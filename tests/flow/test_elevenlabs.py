"""The demo's call with an ElevenLabs agent, and what is different about agents."""

import asyncio

import pytest

from flow import first_call
from flow.fleet import MEDIA_URL
from flow.servers import eventually
from flow.stage import Stage
from scenarios import harbour_dental
from standins import speech
from standins.call import Call
from standins.elevenlabs import Agents
from standins.elevenlabs_session import Session
from standins.scenario import Reply, Scenario, tool, turn

pytestmark = pytest.mark.usefixtures("programs")

NUMBERS = (harbour_dental.CALLER_NUMBER, harbour_dental.BUSINESS_NUMBER)
GREETING = "Thank you for calling Harbour Dental. May I have your name, please?"
STORY = "There is a lot to tell, so please sit down and listen. " * 5 + "That is all."
SHORT = Scenario(
    "short", GREETING, (turn("What time is it?", "It is noon."),), caller_hangs_up=True
)
ENDED_BY_AGENT = Scenario(
    "ended by the agent",
    GREETING,
    (turn("Goodbye.", Reply("Goodbye, and thank you for calling.", (tool("end_call"),))),),
)


def environment(provider: Agents, key: str | None = None) -> dict[str, str]:
    return {
        "RINGFLEET_AI_PROVIDER": "elevenlabs",
        "RINGFLEET_ELEVENLABS_API_KEY": provider.api_key if key is None else key,
        "RINGFLEET_ELEVENLABS_AGENT_ID": provider.agent_id,
        "RINGFLEET_OPENAI_API_KEY": "",
    }


@pytest.fixture(scope="module")
def evidence():
    scenario = harbour_dental.scenario()
    provider = Agents(scenario)
    with Stage(scenario, provider=provider, env=environment(provider)) as stage:
        yield first_call.play(stage)


@pytest.mark.parametrize(
    "title, check", first_call.AGENT_CHECKS, ids=[one[0] for one in first_call.AGENT_CHECKS]
)
def test_the_demo_call(evidence, title, check):
    check(evidence)


def test_metrics_tell_the_same(evidence):
    (worker,) = evidence.fleet.workers
    metrics = worker.metrics()
    assert metrics["ringfleet_barge_ins_total"] == 1
    assert metrics["ringfleet_late_audio_dropped_total"] == 1
    assert metrics["ringfleet_ai_address_known"] == 1
    assert metrics["ringfleet_agent_urls_failed_total"] == 0
    assert metrics["ringfleet_ai_refused_total"] == 0
    assert metrics["ringfleet_ai_sessions_rebuilt_total"] == 0
    assert metrics["ringfleet_ai_pool_ready"] == 0


def test_the_address_was_signed_ahead(evidence):
    """One signed address serves calls for minutes; none was asked for by a call."""
    signed = evidence.stage.provider.signatures.values()
    assert signed and max(signed) < evidence.call.began_ms


# ---- other calls on the same stage ----


@pytest.fixture
def stage(evidence):
    stage = evidence.stage
    set_scenario(stage, SHORT)
    yield stage
    provider = stage.provider
    provider.input_format = provider.output_format = "ulaw_8000"
    provider.corrections, provider.hangs_up = True, False
    provider.audio_speed, provider.on_event, provider.words_last = 5.0, None, False
    stage.carrier.on_event = None


def set_scenario(stage: Stage, scenario: Scenario) -> None:
    stage.scenario = scenario
    stage.provider.play(scenario)


def greeting(stage: Stage, call: Call) -> str:
    """The first call has told the caller's name."""
    return stage.fleet.context(call.sid)["greeting"]


def messages(stage: Stage, sid: str) -> list[tuple[str, str, bool]]:
    stage.fleet.wait_flushed(sid)
    rows = stage.fleet.sql(
        "select speaker, message, interrupted from conversation_turn where call_sid = %s order by seq",
        sid,
    )
    return [(row["speaker"], row["message"], row["interrupted"]) for row in rows]


def test_the_agent_hangs_up(stage):
    """Its own end_call: a normal close, with the goodbye still in the carrier's queue."""
    set_scenario(stage, ENDED_BY_AGENT)
    stage.provider.hangs_up = True
    call = stage.finish(stage.start_call(*NUMBERS))
    last = call.data("twiml")[-1]
    assert "/voice/after/0" in last["url"] and "<Hangup" in last["body"], last
    assert call.unplayed_ms == 0
    assert [one[1] for one in messages(stage, call.sid)] == [
        greeting(stage, call),
        "Goodbye.",
        "Goodbye, and thank you for calling.",
    ]
    (row,) = stage.fleet.sql("select end_reason from call_log where call_sid = %s", call.sid)
    assert row["end_reason"] == "agent_hangup"
    stage.check(call)


def test_an_agent_that_does_not_say_what_was_heard(stage):
    """agent_response_correction is off by default: our own marks tell, a little later."""
    text = "There is a lot to tell, so please sit down and listen. " * 3
    set_scenario(
        stage,
        Scenario(
            "no correction",
            GREETING,
            (
                turn("Tell me about it.", text.strip()),
                turn("Stop, please.", "Of course.", interrupts_after_ms=2000),
            ),
            caller_hangs_up=True,
        ),
    )
    stage.provider.corrections = False
    call = stage.finish(stage.start_call(*NUMBERS))
    found = messages(stage, call.sid)
    assert [(one[0], one[2]) for one in found] == [
        ("assistant", False),
        ("caller", False),
        ("assistant", True),
        ("caller", False),
        ("assistant", False),
    ]
    assert 0 < len(found[2][1]) < len(text) / 2 and text.startswith(found[2][1])
    stage.check(call)


def test_an_agent_whose_words_come_after_their_sound(stage):
    """The sound of an answer is not taken for more of the one before, and its words are not lost."""
    set_scenario(
        stage,
        Scenario(
            "words last",
            GREETING,
            (turn("What time is it?", "It is noon."), turn("Are you open?", "Yes, we are.")),
            caller_hangs_up=True,
        ),
    )
    stage.provider.words_last = True
    call = stage.finish(stage.start_call(*NUMBERS))
    assert [one[1] for one in messages(stage, call.sid)] == [
        greeting(stage, call),
        "What time is it?",
        "It is noon.",
        "Are you open?",
        "Yes, we are.",
    ]
    stage.check(call)


def test_a_message_whose_conversation_is_lost_is_left_to_its_end(stage):
    """To a machine: the rest of the message, and then nothing more."""
    set_scenario(stage, SHORT)
    message = "This is Harbour Dental. We wanted to remind you of your appointment tomorrow at noon. Please call us back."

    def on_event(call, event):
        if event.kind == "twiml" and "/voice/incoming" in event.data["url"]:
            found = {"answered_by": "machine_end_beep", "voicemail_message": message}
            stage.fleet.redis().hset(stage.fleet.key(call.sid), mapping=found)

    async def script(call):
        await call.wait_started()
        await call.hear(1500)
        (session,) = stage.provider.open()
        session.drop()

    stage.carrier.on_event = on_event
    call = stage.finish(stage.start_call(*NUMBERS, script))
    assert " ".join(text for _, text, *_ in messages(stage, call.sid)) == message
    assert ended(stage, call) == ("voicemail", "hangup") and call.unplayed_ms == 0
    stage.check(call)


def test_a_conversation_lost_in_a_quiet_moment(stage):
    """The next one knows what was said, and waits for the caller."""

    async def script(call):
        await call.wait_assistant_quiet(2000)
        (session,) = stage.provider.open()
        session.drop()
        await call.wait_for(
            lambda: any(one.begun() for one in stage.provider.open()), 15, "another conversation"
        )
        await call.say(speech.speak("What time is it?", speech.CALLER), "What time is it?")
        await call.wait_assistant_quiet()
        call.hang_up()

    call = stage.finish(stage.start_call(*NUMBERS, script))
    (again,) = [one for one in stage.provider.talking() if one.user_id == call.sid][1:]
    prompt = again.overrides["agent.prompt.prompt"]
    assert "Do not greet again" in prompt and f"assistant: {greeting(stage, call)}" in prompt
    assert again.overrides["agent.first_message"] == ""
    said = [one[1] for one in messages(stage, call.sid)]
    assert said == [greeting(stage, call), "What time is it?", "It is noon."]
    stage.check(call)


def test_a_conversation_lost_with_an_answer_owed(stage):
    """The next one knows the caller's words, and does not wait for others."""

    def drop_after_the_words(session, direction, event):
        if event["type"] == "user_transcript":
            stage.provider.on_event = None
            asyncio.get_running_loop().call_soon(session.drop)

    async def script(call):
        await call.wait_assistant_quiet()
        stage.provider.on_event = drop_after_the_words
        await call.say(speech.speak("What time is it?", speech.CALLER), "What time is it?")
        await call.wait_assistant_quiet()
        call.hang_up()

    call = stage.finish(stage.start_call(*NUMBERS, script))
    (again,) = [one for one in stage.provider.talking() if one.user_id == call.sid][1:]
    assert again.overrides["agent.first_message"] == greeting(stage, call)
    assert "caller: What time is it?\n" in again.overrides["agent.prompt.prompt"]
    stage.check(call)


def lost_while_speaking(stage: Stage, *said: str) -> tuple[Call, Session]:
    """A call whose conversation is lost a second into what the agent says, which is the greeting or the
    answer to the last of these words; and the conversation that took it up."""

    async def script(call):
        await call.wait_started()
        for words in said:
            await call.wait_assistant_quiet()
            await call.say(speech.speak(words, speech.CALLER), words)
        await call.hear(1000)
        (session,) = stage.provider.open()
        session.drop()
        await call.wait_for(
            lambda: any(one.begun() for one in stage.provider.open()), 15, "another conversation"
        )
        (again,) = stage.provider.open()
        await call.wait_for(again.idle, 15, "what was left to be said")
        await call.wait_assistant_quiet()
        call.hang_up()

    call = stage.finish(stage.start_call(*NUMBERS, script))
    stage.check(call)
    (_, again) = [one for one in stage.provider.talking() if one.user_id == call.sid]
    return call, again


@pytest.mark.parametrize("speed", [5.0, 1.5])  # all of the sound has come, or little of it
def test_a_conversation_lost_in_the_greeting(stage, speed):
    """Nobody is greeted twice: the next conversation says the rest."""
    stage.provider.audio_speed = speed
    call, again = lost_while_speaking(stage)
    (_, heard, cut), (_, rest, _) = messages(stage, call.sid)
    assert again.overrides["agent.first_message"] == rest
    assert f"{heard} {rest}" == greeting(stage, call) and cut
    prompt = again.overrides["agent.prompt.prompt"]
    assert "Do not greet again" in prompt and f"assistant: {heard}\n" in prompt


def test_a_conversation_lost_while_the_agent_speaks(stage):
    """The answer under way is neither lost nor begun again."""
    set_scenario(stage, Scenario("a story", GREETING, (turn("Tell me about it.", STORY),)))
    call, again = lost_while_speaking(stage, "Tell me about it.")
    _, _, (_, heard, cut), (_, rest, _) = messages(stage, call.sid)
    assert again.overrides["agent.first_message"] == rest
    assert f"{heard} {rest}" == STORY and cut
    assert f"caller: Tell me about it.\nassistant: {heard}\n" in again.overrides["agent.prompt.prompt"]


def test_a_conversation_lost_before_the_answer_sounds(stage):
    """Its words had come."""

    def drop_after_the_words(session, direction, event):
        if event["type"] == "agent_response":
            stage.provider.on_event = None
            asyncio.get_running_loop().call_soon(session.drop)

    async def script(call):
        await call.wait_assistant_quiet()
        (session,) = stage.provider.open()
        stage.provider.on_event = drop_after_the_words
        await call.say(speech.speak("What time is it?", speech.CALLER), "What time is it?")
        await call.wait_for(lambda: session.closed_ms, 15, "the loss")
        await call.wait_assistant_quiet()
        call.hang_up()

    call = stage.finish(stage.start_call(*NUMBERS, script))
    assert [one[1] for one in messages(stage, call.sid)][1:] == ["What time is it?", "It is noon."]
    stage.check(call)


def test_a_conversation_lost_as_the_caller_interrupts(stage):
    """No word comes any more on what was heard of the answer: it is known by our own marks."""
    turns = turn("Tell me about it.", STORY), turn("Stop, please.", "Of course.")
    set_scenario(stage, Scenario("interrupted", GREETING, turns))
    stage.provider.corrections = False

    def drop_after_the_interruption(session, direction, event):
        if event["type"] == "interruption":
            stage.provider.on_event = None
            asyncio.get_running_loop().call_soon(session.drop)

    async def script(call):
        await call.wait_assistant_quiet()
        await call.say(speech.speak("Tell me about it.", speech.CALLER), "Tell me about it.")
        await call.hear(1500)
        stage.provider.on_event = drop_after_the_interruption
        await call.say(speech.speak("Stop, please.", speech.CALLER), "Stop, please.")
        await call.wait_assistant_quiet()
        call.hang_up()

    call = stage.finish(stage.start_call(*NUMBERS, script))
    (_, again) = [one for one in stage.provider.talking() if one.user_id == call.sid]
    heard = messages(stage, call.sid)[2][1]
    assert heard and STORY.startswith(heard) and len(heard) < len(STORY)
    assert f"assistant: {heard}\n" in again.overrides["agent.prompt.prompt"]
    stage.check(call)


@pytest.mark.parametrize("side", ["input", "output"])
def test_a_wrong_format_is_refused(stage, side):
    """With anything but mu-law both ways the caller, or the agent, would hear noise."""
    setattr(stage.provider, f"{side}_format", "pcm_16000")
    call = stage.finish(stage.start_call(*NUMBERS, silent=True), 40)
    assert not call.received
    assert stage.fleet.session(call.sid)["verdict"] == "apology"
    ending = stage.fleet.logged("call is ending", call.sid)
    assert ending and "ulaw_8000 both ways" in ending[0]["detail"]
    (row,) = stage.fleet.sql("select end_reason from call_log where call_sid = %s", call.sid)
    assert row["end_reason"] == "ai_refused"
    stage.check(call)


# ---- what the agent is asked to say ----

MESSAGE = "This is Harbour Dental. Please call us back."


def ended(stage: Stage, call: Call) -> tuple[str, str]:
    session = stage.fleet.session(call.sid)
    return session["reason"], session["verdict"]


@pytest.mark.parametrize("heard_ms", [0, 1000])  # before the agent answers, and while it does
def test_a_machine_that_is_found_out_gets_the_message(stage, heard_ms):
    """The agent cannot be stopped: what it says of itself is not played, and then it is asked."""
    words = "You have reached the machine of the Millers. Please leave your message."
    set_scenario(stage, Scenario("a machine", GREETING, (turn(words, STORY),), unscripted=MESSAGE))
    stage.provider.audio_speed = 3
    played = []  # bytes, when the rest was cut

    def on_event(call, event):
        if event.kind == "twiml" and "/voice/incoming" in event.data["url"]:
            found = {"answered_by": "pending", "voicemail_message": MESSAGE}
            stage.fleet.redis().hset(stage.fleet.key(call.sid), mapping=found)
        if event.kind == "clear":
            played.append(len(call.received))

    async def script(call):
        await call.wait_assistant_quiet()
        await call.say(speech.speak(words, speech.CALLER), words)
        await call.hear(heard_ms)
        stage.fleet.redis().hset(stage.fleet.key(call.sid), "answered_by", "machine_end_beep")

    stage.carrier.on_event = on_event
    call = stage.finish(stage.start_call(*NUMBERS, script))
    assert ended(stage, call) == ("voicemail", "hangup")
    assert messages(stage, call.sid)[-1] == ("assistant", MESSAGE, False)
    message = speech.speak(MESSAGE, speech.ASSISTANT)
    assert call.unplayed_ms == 0 and call.received.endswith(message)
    if heard_ms:
        assert len(call.received) - played[-1] == len(message)
        assert messages(stage, call.sid)[-2][2]
    stage.check(call)


def test_the_goodbye_waits_for_the_sentence_under_way():
    """The call's limit is reached while the agent speaks."""
    goodbye = "Our time is up. Goodbye."
    story = Scenario("a story", GREETING, (turn("Tell me about it.", STORY),), unscripted=goodbye)
    provider = Agents(story)
    provider.audio_speed = 2
    env = environment(provider) | {"RINGFLEET_MAX_CALL_SECONDS": "10"}
    with Stage(story, provider=provider, env=env) as stage:
        call = stage.finish(stage.start_call(*NUMBERS))
        assert ended(stage, call) == ("time_limit", "hangup")
        assert [one[1:] for one in messages(stage, call.sid)][-2:] == [(STORY, False), (goodbye, False)]
        assert call.unplayed_ms == 0
        (session,) = provider.talking()
        (asked,) = session.received("user_message")
        assert "reached its limit" in asked.event["text"]
        stage.check(call)


# ---- where the agent is found ----


def test_an_agent_that_is_open_to_everybody():
    provider = Agents(SHORT)
    provider.private = False
    with Stage(SHORT, provider=provider, env=environment(provider, key="")) as stage:
        call = stage.finish(stage.start_call(*NUMBERS))
        assert [one[1] for one in messages(stage, call.sid)] == [
            GREETING,
            "What time is it?",
            "It is noon.",
        ]
        assert provider.signatures == {}
        stage.check(call)


def test_a_worker_without_an_address_is_not_ready(tmp_path):
    """Over TLS, so that the certificates of the signing request are checked as well."""
    provider = Agents(SHORT)
    with Stage(
        SHORT, provider=provider, env=environment(provider), tls_directory=tmp_path
    ) as stage:
        provider.faults.refuse_signing = 500
        second = stage.fleet.start_worker(wait=False)

        def said_why() -> bool:
            status, text = second.get("/readyz")
            return status == 503 and "where its agent is reached" in text

        eventually("the reason", said_why, 20)
        provider.faults.refuse_signing = 0
        second.wait_ready()
        stage.carrier.resolve[MEDIA_URL.rsplit("/", 1)[0]] = [f"ws://{second.listen}"]
        call = stage.finish(stage.start_call(*NUMBERS))
        assert len(messages(stage, call.sid)) == 3
        stage.check(call)
