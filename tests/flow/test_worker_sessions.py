"""AI sessions that are lost, refused or mute in the middle of a call, and calls that change hands."""

import asyncio
import signal
from pathlib import Path

import pytest

from flow.cast import GREETING, Cast, Case, asked_ms, line
from flow.redis_functions import named
from flow.servers import eventually
from standins import speech
from standins.realtime import Faults
from standins.scenario import turn

pytestmark = pytest.mark.usefixtures("programs")

QUESTION = turn("What time is it?", "It is noon.")
STORY = "There is a lot to tell, so please sit down and listen to me. " * 5
TALK = turn("Tell me about it.", STORY)
AGAIN = "As I was saying, that is all there is."
LAST = turn("Thank you.", "You are welcome.")
SLEEP_SECONDS = 1.5
NAP_SECONDS = 12.0  # shorter than lease and grace: the call is still its own
LONG_GREETING = "Hello, and welcome to our house. " * 4 + "How can I help?"


async def thank(play) -> None:
    await play.quiet()
    await play.say("Thank you.")
    await play.quiet()
    play.call.hang_up()


async def lost_while_idle(play) -> None:
    await play.quiet()
    play.session.drop()
    await play.stay(0.5)
    await play.say("What time is it?")
    await thank(play)


async def lost_while_the_assistant_speaks(play) -> None:
    await play.quiet()
    await play.say("Tell me about it.")
    await play.call.hear(1000)
    play.session.drop()
    await thank(play)


async def lost_twice(play) -> None:
    await play.quiet()
    await play.say("Tell me about it.")
    await play.call.hear(1000)
    play.session.drop()
    await play.until("the next session", lambda: len(play.sessions) == 2)
    await play.until("its answer", lambda: play.session.sent("response.created"))
    play.session.drop()
    await thank(play)


async def lost_while_the_caller_speaks(play) -> None:
    await play.quiet()
    saying = asyncio.create_task(play.say("Could you please tell me what time it is?"))
    await play.until(
        "the caller's words", lambda: play.session.sent("input_audio_buffer.speech_started")
    )
    await play.stay(0.5)
    play.session.drop()
    await saying
    await thank(play)


async def vanishes_while_the_caller_speaks(play) -> None:
    await play.quiet()
    saying = asyncio.create_task(play.say("Could you please tell me what time it is?"))
    await play.until(
        "the caller's words", lambda: play.session.sent("input_audio_buffer.speech_started")
    )
    play.session.vanish()
    await saying
    await play.until("the next session", lambda: len(play.sessions) == 2)
    await thank(play)


async def lost_before_it_was_written_down(play) -> None:
    """The caller has finished; neither words nor answer have come."""
    await play.quiet()
    before = len(play.session.sent("input_audio_buffer.committed"))
    await play.say("What time is it?")
    committed = lambda: len(play.session.sent("input_audio_buffer.committed")) > before  # noqa: E731
    await play.until("the end of the turn", committed)
    play.conversation.turns_taken -= 1  # the words will be said to another session
    play.session.drop()
    await thank(play)


async def lost_in_the_greeting(play) -> None:
    await play.call.hear(500)
    play.session.drop()
    await thank(play)


async def expires(play) -> None:
    await play.quiet()
    await play.session.expire()
    await play.say("What time is it?")
    await thank(play)


async def server_error(play) -> None:
    await play.quiet()
    error = {"type": "server_error", "code": None, "message": "sorry", "param": None}
    await play.session.send("error", error={**error, "event_id": None})
    await play.session.close(1011, "server_error")
    await play.say("What time is it?")
    await thank(play)


async def refused_at_the_rebuild(play) -> None:
    await play.quiet()
    play.conversation.faults.reject_session_updates = 1
    play.session.drop()
    await play.stay(0.5)
    await play.say("What time is it?")
    await thank(play)


async def waits(play) -> None:
    await play.stay(40)


def talk(name: str, script=None, faults: Faults | None = None, greeting: str = GREETING) -> Case:
    spoken = (TALK if "speaks" in name or "twice" in name else QUESTION, LAST)
    return Case(name, line(*spoken, greeting=greeting, unscripted=AGAIN), script, faults)


CASES = [
    talk("idle", lost_while_idle),
    talk("the assistant speaks", lost_while_the_assistant_speaks),
    talk("twice", lost_twice),
    talk("in the caller's words", lost_while_the_caller_speaks),
    talk("without a word", vanishes_while_the_caller_speaks),
    talk("not written down", lost_before_it_was_written_down, Faults(transcription_s=[9])),
    Case(
        "in the greeting",
        line(LAST, greeting=LONG_GREETING, unscripted=AGAIN),
        lost_in_the_greeting,
    ),
    talk("expired", expires),
    talk("server error", server_error),
]
REFUSALS = [
    talk("refused at the start", None, Faults(reject_session_updates=1)),
    talk("failed at the start", None, Faults(fail_session_updates=1)),
    talk("refused later", refused_at_the_rebuild, Faults()),
    talk("refused for good", waits, Faults(reject_session_updates=99)),
    talk("settings not answered", None, Faults(ignore_session_updates=1)),
    talk("an answer that never comes", None, Faults(hang_responses=1)),
]


@pytest.fixture(scope="module")
def cast():
    env = {"RINGFLEET_AI_POOL_SIZE": "1", "RINGFLEET_SILENCE_NUDGE_SECONDS": "30"}
    with Cast(env=env) as cast:
        yield cast


@pytest.fixture(scope="module")
def plays(cast):
    done = [*cast.play(*CASES), *cast.play(*REFUSALS)]
    return {one.case.name: one for one in done}


def greeted_once(play) -> None:
    spoken = [one for one in play.turns() if one[0] == "assistant"]
    assert [one[1] for one in spoken].count(play.case.scenario.greeting) == 1


@pytest.mark.parametrize("name", ["idle", "expired", "server error"])
def test_a_lost_session_is_replaced_and_nobody_notices(plays, name):
    """Provider sessions expire in mid-call."""
    play = plays[name]
    first, second = play.sessions
    assert asked_ms(second) - first.closed_ms < 1500
    expected = [GREETING, "What time is it?", "It is noon.", "Thank you.", "You are welcome."]
    assert play.words() == expected
    assert play.told(second, "assistant") == [GREETING]  # history, once
    assert second.instructions[0].text.endswith("full")
    assert len(second.received("response.create")) == 0  # nobody waited for an answer
    play.journal()


def test_the_history_is_replayed_oldest_first(plays):
    play = plays["the assistant speaks"]
    second = play.sessions[1]
    items = [one.event["item"] for one in second.received("conversation.item.create")]
    said = [(item["role"], item["content"][0]["text"]) for item in items]
    assert said[:2] == [("assistant", GREETING), ("user", "Tell me about it.")]
    assert said[2][0] == "assistant" and STORY.startswith(said[2][1]) and len(said[2][1]) > 20


@pytest.mark.parametrize("name, sessions", [("the assistant speaks", 2), ("twice", 3)])
def test_an_answer_that_was_cut_off_is_gone_on_with(plays, name, sessions):
    """What was sent is heard to its end, and then the assistant goes on."""
    play = plays[name]
    assert len(play.sessions) == sessions
    (asked,) = play.session.received("response.create")
    assert "go on where you stopped" in asked.event["response"]["instructions"]
    words = play.words()
    assert words[0] == GREETING and words[-2:] == ["Thank you.", "You are welcome."]
    assert words[1] == "Tell me about it." and STORY.startswith(words[2])
    assert AGAIN in words
    assert play.call.data("clear") == []
    greeted_once(play)


def test_words_begun_before_the_loss_are_heard_from_their_beginning(plays):
    play = plays["in the caller's words"]
    second = play.sessions[1]
    clip = speech.speak("Could you please tell me what time it is?", speech.CALLER)
    assert clip[:-160] in bytes(second.heard)
    assert play.words()[1:3] == ["What time is it?", "It is noon."]  # as the script has it
    greeted_once(play)


def test_a_session_that_vanishes_is_noticed_by_its_silence(plays):
    """No end of the connection, no end of the caller's words: nothing else would tell for a quarter of an hour."""
    play = plays["without a word"]
    first, second = play.sessions
    assert play.words()[1:3] == ["What time is it?", "It is noon."]
    assert asked_ms(second) - first.sent("input_audio_buffer.speech_started")[-1].ms < 10_000
    greeted_once(play)


def test_words_that_were_not_written_down_are_not_lost(plays):
    play = plays["not written down"]
    assert len(play.sessions) == 2
    assert [word for word in play.words() if word == "What time is it?"] == ["What time is it?"]
    assert play.words()[-3:] == ["It is noon.", "Thank you.", "You are welcome."]
    greeted_once(play)


def test_nobody_is_greeted_twice(plays):
    play = plays["in the greeting"]
    first, second = play.sessions
    heard, *_ = play.words()
    assert LONG_GREETING.startswith(heard) and heard
    assert play.told(second, "assistant") == [heard]
    assert play.words()[1:] == [AGAIN, "Thank you.", "You are welcome."]
    asked = [one.event["response"]["instructions"] for one in second.received("response.create")]
    assert len(asked) == 1 and "without greeting" in asked[0]


def test_settings_refused_once_are_tried_without_transcription(plays):
    """The whole update is discarded for one field: without it the call goes on, unwritten."""
    play = plays["refused at the start"]
    (session,) = play.sessions
    asked = [one.event["session"]["audio"] for one in session.received("session.update")[:2]]
    assert asked[0]["input"]["transcription"] and not asked[1]["input"]["transcription"]
    assert play.words() == [GREETING, "It is noon.", "You are welcome."]
    assert play.ended["reason"] == "carrier_stop"


def test_a_provider_that_fails_on_the_settings(plays):
    """Nothing is wrong with them: they are given to the next session as they are."""
    play = plays["failed at the start"]
    failed, session = play.sessions
    (asked,) = failed.received("session.update")
    again = session.received("session.update")[0]
    assert asked.event["session"]["audio"] == again.event["session"]["audio"]
    assert asked.event["session"]["audio"]["input"]["transcription"]
    assert play.words() == [GREETING, "What time is it?", "It is noon.", "Thank you.", "You are welcome."]
    assert play.ended["reason"] == "carrier_stop"


def test_settings_refused_at_a_rebuild(plays):
    """The call goes on, and from there on only what the assistant said is written down."""
    play = plays["refused later"]
    assert len(play.sessions) == 2
    assert play.words() == [GREETING, "It is noon.", "You are welcome."]
    assert play.ended["reason"] == "carrier_stop"


def test_settings_refused_for_good_end_in_words(plays):
    play = plays["refused for good"]
    assert (play.ended["reason"], play.ended["verdict"]) == ("ai_refused", "apology")
    (session,) = play.sessions
    assert len(session.received("session.update")) == 2


def test_a_session_that_does_not_take_the_settings_is_replaced(plays):
    """It stood open for long and was forgotten on the way: no sign of that but silence."""
    play = plays["settings not answered"]
    first, second = play.sessions
    assert 3000 < asked_ms(second) - asked_ms(first) < 8000
    assert play.words()[1:3] == ["What time is it?", "It is noon."]


def test_an_answer_that_never_comes_is_given_by_another_session(plays):
    play = plays["an answer that never comes"]
    assert len(play.sessions) == 2
    assert play.words()[-2:] == ["Thank you.", "You are welcome."]


def test_turns_are_in_postgres_without_gap_or_double(plays):
    for play in plays.values():
        turns = play.turns()
        kept = [one for one in play.journal() if one["type"] == "turn"]
        assert [one[1] for one in turns] == [one["message"] for one in kept], play.case.name
        assert len(set(one[1] for one in turns)) == len(turns), (play.case.name, turns)


# ---- the provider is away: all of its sessions ----


async def away_for_three_seconds(play) -> None:
    await play.quiet()
    play.cast.provider.faults.refuse_upgrades = 1_000_000
    for session in play.cast.provider.open():
        session.drop()
    await play.say("What time is it?")
    await play.stay(2)
    play.cast.provider.faults.refuse_upgrades = 0
    play.back_ms = play.call.began_ms + play.call._elapsed()
    await thank(play)


async def away_for_good(play) -> None:
    await play.quiet()
    play.cast.provider.faults.refuse_upgrades = 1_000_000
    for session in play.cast.provider.open():
        session.drop()
    await play.stay(30)


def test_the_provider_is_away_for_seconds(cast, plays):
    (play,) = cast.play(talk("away for seconds", away_for_three_seconds))
    first, second = play.sessions
    assert asked_ms(second) - play.back_ms < 1500
    assert play.words()[1:] == ["What time is it?", "It is noon.", "Thank you.", "You are welcome."]
    greeted_once(play)


def test_the_provider_is_away_for_good(cast, plays):
    """A deadline, and then words of our own: no caller listens to silence."""
    try:
        (play,) = cast.play(talk("away for good", away_for_good))
    finally:
        cast.provider.faults.refuse_upgrades = 0
    assert (play.ended["reason"], play.ended["verdict"]) == ("ai_unreachable", "apology")
    assert play.call.data("say"), "the caller heard no apology"
    lost = play.session.closed_ms - play.call.began_ms
    assert play.call.times("say")[0] - lost < 20_000


# ---- the database is late ----


def full_context(play) -> dict[str, str]:
    return {"source": "database", "prompt_full": f"{play.cast.mark(play.case)} from the database"}


async def filled_in_the_greeting(play) -> None:
    await play.call.hear(300)
    fill(play)
    await play.quiet()
    await play.say("What time is it?")
    await thank(play)


async def filled_later(play) -> None:
    await play.quiet()
    await play.until("the first upgrade", lambda: len(play.session.instructions) == 2)
    fill(play)
    await play.until("the second", lambda: len(play.session.instructions) == 3)
    await play.say("What time is it?")
    await thank(play)


def fill(play) -> None:
    fleet = play.cast.fleet
    fields = [text for pair in full_context(play).items() for text in pair]
    fleet.redis().fcall(named("rf_fill"), 1, fleet.key(play.sid), *fields)


def test_a_context_that_comes_late_is_picked_up(cast, plays):
    minimal = {"source": "minimal", "prompt_full": "I know little."}
    early = talk("filled early", filled_in_the_greeting, greeting=LONG_GREETING)
    late = talk("filled late", filled_later)
    early.context = late.context = minimal
    early, late = cast.play(early, late)
    prompts = [one.text for one in early.session.instructions]
    assert prompts[1:] == [full_context(early)["prompt_full"]]
    prompts = [one.text for one in late.session.instructions]
    assert prompts[1:] == ["I know little.", full_context(late)["prompt_full"]]
    for play in (early, late):
        assert play.words()[1:3] == ["What time is it?", "It is noon."]
        assert len(play.logged("the full context has come")) == 1


# ---- another worker takes the call over ----


async def loses_its_worker(play) -> None:
    await play.quiet()
    await play.say("What time is it?")
    await play.quiet()
    worker = carrying(play)
    spoken = len(play.call.times("assistant-begin"))
    worker.signal(signal.SIGKILL)
    await resumed(play, spoken)
    await thank(play)


async def resumed(play, spoken: int) -> None:
    """The assistant speaks again, by another worker's hand."""
    await play.until("the resume", lambda: len(play.call.times("assistant-begin")) > spoken)


async def worker_sleeps(play) -> None:
    """It is stopped, the call goes on elsewhere, and it wakes up believing nothing has happened."""
    await play.quiet()
    await play.say("What time is it?")
    await play.quiet()
    play.asleep = carrying(play)
    spoken = len(play.call.times("assistant-begin"))
    play.asleep.signal(signal.SIGSTOP)
    try:
        await play.until("its sleep", lambda: stopped(play.asleep.process.pid))
        play.cast.stage.route(without=play.asleep)
        play.call.stream.abort()
        await resumed(play, spoken)
        await play.stay(SLEEP_SECONDS)
    finally:
        play.asleep.process.send_signal(signal.SIGCONT)
    await thank(play)


async def worker_naps(play) -> None:
    """It is stopped for longer than a line may be silent, and nobody takes the call from it."""
    await play.quiet()
    worker = carrying(play)
    worker.signal(signal.SIGSTOP)
    try:
        await play.until("its sleep", lambda: stopped(worker.process.pid))
        await play.stay(NAP_SECONDS)
    finally:
        worker.process.send_signal(signal.SIGCONT)
    await play.say("What time is it?")
    await thank(play)


def stopped(pid: int) -> bool:
    """All threads: the signal is not there at once."""
    stats = [task.joinpath("stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


def carrying(play):
    name = play.ended["worker"]
    return next(one for one in play.cast.fleet.workers if one.name == name)


@pytest.fixture(scope="module")
def pair():
    with Cast(workers=5, env={"RINGFLEET_AI_POOL_SIZE": "0"}) as cast:  # each test costs one
        yield cast


@pytest.mark.parametrize(
    "name, script",
    [("killed", loses_its_worker), ("asleep", worker_sleeps)],
    ids=["killed", "asleep"],
)
def test_another_worker_goes_on_with_the_call(pair, name, script):
    """A worker dies and nobody takes the call over; or the caller is greeted again."""
    (play,) = pair.play(talk(name, script), strict=False)
    first, second = play.sessions
    assert play.told(second, "assistant")[:2] == [GREETING, "It is noon."]
    assert play.told(second, "user") == ["What time is it?"]
    hints = [one.event["response"]["instructions"] for one in second.received("response.create")]
    assert len(hints) == 1 and "Do not greet again" in hints[0]
    words = play.words()
    assert words == [GREETING, *words[1:3], AGAIN, "Thank you.", "You are welcome."]
    play.journal()
    epochs = {entry_id.split("-")[0] for entry_id, _ in pair.fleet.journal(play.sid)}
    assert epochs == {"1", "2"}
    if name == "asleep":
        sleeper = play.asleep
        fenced = "ringfleet_journal_fenced_total"
        eventually("the fence", lambda: sleeper.metrics()[fenced] == 1)
        eventually("its call's end", lambda: sleeper.metrics()["ringfleet_calls_active"] == 0)
        lag = "ringfleet_loop_lag_seconds_sum"  # its timer was due once within any second of its sleep
        eventually("its loop to know that it was late", lambda: sleeper.metrics()[lag] > SLEEP_SECONDS - 1)


def test_a_worker_that_slept_does_not_take_its_own_silence_for_the_carriers(pair):
    """It was stopped, or its machine was busy: what the carrier sent meanwhile is still to be read."""
    (play,) = pair.play(talk("naps", worker_naps), strict=False)
    assert len(play.call.data("start")) == 1
    assert play.words() == [GREETING, "What time is it?", "It is noon.", "Thank you.", "You are welcome."]
    play.journal()


# ---- and in the greeting ----


async def loses_its_worker_in_the_greeting(play) -> None:
    await play.call.hear(800)
    carrying(play).signal(signal.SIGKILL)
    await greeting_is_resumed(play)


async def loses_its_worker_before_the_greeting_is_written(play) -> None:
    """It is heard to its end, and Redis takes no word of that until the worker is dead."""
    await play.call.hear(200)
    redis, worker = play.cast.fleet.redis(), carrying(play)
    redis.config_set("maxmemory", 1)
    try:
        await play.quiet()
        worker.signal(signal.SIGKILL)
        await asyncio.to_thread(worker.process.wait)
    finally:
        redis.config_set("maxmemory", 0)
    await greeting_is_resumed(play)


async def greeting_is_resumed(play) -> None:
    """So soon, perhaps, that no silence lies between."""
    await play.until("the next session", lambda: len(play.sessions) == 2)
    await play.until("its words", lambda: play.session.sent("response.created"))
    await thank(play)


@pytest.mark.parametrize(
    "name, script, greeting",
    [
        ("cut", loses_its_worker_in_the_greeting, LONG_GREETING),
        ("unwritten", loses_its_worker_before_the_greeting_is_written, GREETING),
    ],
    ids=["cut", "unwritten"],
)
def test_another_worker_does_not_greet_from_the_beginning(pair, name, script, greeting):
    """A whole greeting twice is how callers notice that a worker died."""
    case = Case(name, line(LAST, greeting=greeting, unscripted=AGAIN), script)
    (play,) = pair.play(case, strict=False)
    second = play.sessions[-1]
    asked = [one.event["response"]["instructions"] for one in second.received("response.create")]
    assert len(asked) == 1 and "may have missed" in asked[0]
    assert play.told(second, "assistant")[0] == greeting
    assert play.turns() == [
        ("assistant", greeting, True),
        *(("assistant", AGAIN, False), ("caller", "Thank you.", False), ("assistant", "You are welcome.", False)),
    ]
    play.journal()
