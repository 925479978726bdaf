"""What only time can tell: silence, a dead line, the longest call; and keys, and answering machines."""

import contextlib
import json

import pytest
from aiohttp import web

from flow.cast import Cast, Case, audio, line
from flow.ports import free_port
from standins.call import CallEnded
from standins.scenario import Reply, tool, turn

pytestmark = pytest.mark.usefixtures("programs")

NUDGE_S, GIVE_UP_S, LIMIT_S = 2, 2, 20
QUESTION = turn("What time is it?", "It is noon.")
KEYS = turn("Thank you.", "You are welcome.")
LONG = "There is a lot to tell, so please sit down and listen. " * 2 + "That is all."
ENDLESS = "There is a lot to tell, so please sit down and listen. " * 6 + "That is all."
MESSAGE = "This is Harbour Dental. Please call us back."
# Noise that a phone line adds in place of silence: about 100 of 32767, below what counts as speech.
NOISE = bytes([0xF1, 0x71]) * 80


async def says_nothing(play) -> None:
    await play.stay(25)


async def only_noise(play) -> None:
    play.call.background = NOISE
    await play.stay(25)


async def speaks_after_the_nudge(play) -> None:
    await play.until("the nudge", lambda: len(play.call.times("assistant-begin")) == 2)
    await play.quiet()
    await play.say("What time is it?")
    await play.quiet()
    play.call.hang_up()


async def speaks_over_the_goodbye(play) -> None:
    await play.until("the goodbye", lambda: len(play.call.times("assistant-begin")) == 3)
    await play.say("What time is it?")
    await play.quiet()
    play.call.hang_up()


async def listens_for_long(play) -> None:
    await play.quiet()
    await play.say("Tell me about it.")
    await play.quiet()
    play.call.hang_up()


async def waits_for_a_slow_tool(play) -> None:
    """The shop takes five seconds; the AI is silent meanwhile."""

    async def answer(request: web.Request) -> web.Response:
        await play.stay(5)
        return web.json_response({"found": True})

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", SHOP_PORT).start()
    try:
        await play.quiet()
        await play.say("Where is my order?")
        await play.until("the answer", lambda: play.session.tool_outputs)
        await play.quiet()
        play.call.hang_up()
    finally:
        await runner.cleanup()


async def line_dies(play) -> None:
    await play.quiet()
    first = play.call.stream
    first.stalled = True
    await play.until("another stream", lambda: play.call.stream not in (None, first))
    await play.quiet()
    await play.say("What time is it?")
    await play.quiet()
    play.call.hang_up()


async def socket_is_cut(play) -> None:
    """A proxy reloads its settings and drops what is long-lived."""
    await play.quiet()
    first = play.call.stream
    first.abort()
    await play.until("another stream", lambda: play.call.stream not in (None, first))
    await play.quiet()
    await play.say("What time is it?")
    await play.quiet()
    play.call.hang_up()


async def hangs_up_in_the_goodbye(play) -> None:
    await play.quiet()
    await play.say("Good bye.")
    await play.call.hear(600)
    play.call.hang_up()


async def presses_keys(play) -> None:
    await play.quiet()
    await play.call.press("12")
    await play.until("their answer", lambda: len(play.call.times("assistant-begin")) == 2)
    await play.quiet()
    await play.call.press("3#")
    await play.until("their answer", lambda: len(play.call.times("assistant-begin")) == 3)
    await play.quiet()
    play.call.hang_up()


async def a_machine_talks_on(play) -> None:
    await play.say("Please leave your message after the tone.")
    await play.stay(15)


async def talks_until_the_limit(play) -> None:
    with contextlib.suppress(CallEnded):
        while True:
            await play.quiet(200)
            await play.say("And what else?")


async def listens_until_the_limit(play) -> None:
    await play.quiet()
    await play.say("Tell me about it.")
    await play.stay(40)


async def a_machine_is_found_out(play) -> None:
    """The carrier needs a while for it; so far it was taken for a person."""
    await play.until("the greeting", lambda: play.call.times("assistant-begin"))
    await play.say("You have reached the machine of the Millers. Please leave your message after the tone.")
    fleet = play.cast.stage.fleet
    fleet.redis().hset(fleet.key(play.sid), "answered_by", "machine_end_beep")
    await play.stay(20)


def found_out(name: str, message: str) -> Case:
    context = {"answered_by": "pending", "voicemail_message": message}
    return Case(name, line(unscripted=MESSAGE, greeting="Good morning."), a_machine_is_found_out, context=context)


def machine(name: str, message: str, answered_by: str, script) -> Case:
    """An outbound call that was answered. What the AI is asked to say first is the message."""
    context = {"answered_by": answered_by, "voicemail_message": message}
    said = message if answered_by.startswith("machine") and message else "Good morning."
    return Case(name, line(QUESTION, greeting=said), script, greeting="Good morning.", context=context)


SHOP_PORT = free_port()
SHOP = [{"name": "find_order", "url": f"http://127.0.0.1:{SHOP_PORT}/", "timeout_ms": 8000}]
SILENT = [
    Case("silent", line(), says_nothing),
    Case("comfort noise", line(), only_noise),
    Case("answers the nudge", line(QUESTION), speaks_after_the_nudge),
    Case("answers the goodbye", line(QUESTION), speaks_over_the_goodbye),
    Case("listens", line(turn("Tell me about it.", LONG)), listens_for_long),
    Case(
        "a slow tool",
        line(turn("Where is my order?", Reply(calls=(tool("find_order"),)), "On its way.")),
        waits_for_a_slow_tool,
        context={"tools": json.dumps(SHOP)},
    ),
]
OTHERS = [
    Case("dead line", line(QUESTION), line_dies),
    Case("cut socket", line(QUESTION), socket_is_cut),
    Case(
        "both hang up",
        line(turn("Good bye.", Reply(LONG, calls=(tool("end_call"),)))),
        hangs_up_in_the_goodbye,
    ),
    Case("keys", line(unscripted="Thank you."), presses_keys),
    machine("message left", MESSAGE, "machine_end_beep", a_machine_talks_on),
    machine("no message", "", "machine_start", says_nothing),
    machine("a fax", MESSAGE, "fax", says_nothing),
    found_out("found out", MESSAGE),
    found_out("found out, no message", ""),
    machine("not known for long", MESSAGE, "pending", None),
    machine("a person", MESSAGE, "human", None),
    machine("perhaps a person", MESSAGE, "unknown", None),
]
LIMITS = [
    Case("talks", line(*[turn("And what else?", "Nothing else.")] * 30), talks_until_the_limit),
    Case("listens at the limit", line(turn("Tell me about it.", ENDLESS)), listens_until_the_limit),
]


@pytest.fixture(scope="module")
def cast():
    env = {
        "RINGFLEET_SILENCE_NUDGE_SECONDS": str(NUDGE_S),
        "RINGFLEET_SILENCE_HANGUP_SECONDS": str(GIVE_UP_S),
        "RINGFLEET_MAX_CALL_SECONDS": str(LIMIT_S),
        "RINGFLEET_TOOL_ALLOW_PRIVATE": "1",
    }
    with Cast(env=env) as cast:
        yield cast


@pytest.fixture(scope="module")
def plays(cast):
    done = [*cast.play(*SILENT), *cast.play(*OTHERS), *cast.play(*LIMITS)]
    return {one.case.name: one for one in done}


def hints(play) -> list[str]:
    """Instructions of the answers that were asked for, by a word of theirs."""
    asked = [one.event.get("response", {}) for one in play.session.received("response.create")]
    words = {
        "still there": "nudge",
        "does not answer": "goodbye",
        "time limit soon": "warning",
        "reached its limit": "limit",
    }
    texts = [one.get("instructions", "") for one in asked]
    return [name for text in texts for word, name in words.items() if word in text]


@pytest.mark.parametrize("name", ["silent", "comfort noise"])
def test_a_caller_who_says_nothing_is_asked_and_then_let_go(plays, name):
    """Comfort noise does not defeat it: the clock on the wall counts."""
    play = plays[name]
    assert hints(play) == ["nudge", "goodbye"]
    assert (play.ended["reason"], play.ended["verdict"]) == ("silence", "hangup")
    begins, ended = play.call.times("assistant-begin"), play.call.times("ended")[0]
    spoken = len(audio(play.case.scenario.unscripted)) / 8
    assert begins[1] - begins[0] > NUDGE_S * 1000
    assert begins[2] - begins[1] > GIVE_UP_S * 1000 + spoken
    assert ended - begins[2] > spoken - 100  # the goodbye was heard
    assert play.call.unplayed_ms == 0


def test_who_answers_the_nudge_is_there(plays):
    play = plays["answers the nudge"]
    assert hints(play) == ["nudge"]
    assert play.words()[-2:] == ["What time is it?", "It is noon."]
    assert play.ended["reason"] == "carrier_stop"


def test_who_speaks_over_the_goodbye_stays(plays):
    """Nobody is hung up on in mid-word."""
    play = plays["answers the goodbye"]
    assert hints(play)[:2] == ["nudge", "goodbye"]
    assert play.words()[-2:] == ["What time is it?", "It is noon."]
    assert play.ended["reason"] == "carrier_stop"


@pytest.mark.parametrize("name", ["listens", "a slow tool"])
def test_no_nudge_while_somebody_speaks_or_a_tool_runs(plays, name):
    play = plays[name]
    assert hints(play) == []
    assert play.words()[-1] in (LONG, "On its way.")


def test_a_dead_line_is_noticed_and_the_call_goes_on(plays):
    """The peer vanishes without a word: no frame for three seconds, and the socket is given up."""
    play = plays["dead line"]
    first, second = play.call.times("start")
    assert 2500 < second - first < 9000
    assert play.call.data("socket-closed")[0]["by"] == "server"
    reasons = [one["reason"] for one in play.logged("call ended")]
    assert reasons == ["carrier_lost", "carrier_stop"]
    assert play.words()[-2:] == ["What time is it?", "It is noon."]
    assert play.words().count(play.case.scenario.greeting) == 1


def test_a_socket_that_is_cut_costs_a_moment(plays):
    """Ingresses drop long-lived WebSockets when they reload; no carrier reconnects by itself."""
    play = plays["cut socket"]
    assert [one["reason"] for one in play.logged("call ended")] == ["carrier_lost", "carrier_stop"]
    words = play.words()
    assert words[-2:] == ["What time is it?", "It is noon."]
    assert words.count(play.case.scenario.greeting) == 1


def test_two_who_hang_up_at_once_are_no_error(plays):
    """The call is over before ours has ended it: nothing to be alarmed at."""
    play = plays["both hang up"]
    (ended,) = play.logged("call ended")
    assert ended["reason"] == "carrier_stop"
    lines = [one for worker in play.cast.fleet.workers for one in worker.log() if one.get("call") == play.sid]
    assert [one["msg"] for one in lines if one["level"] in ("warn", "error")] == []
    cut = play.turns()[-1]
    assert cut[0] == "assistant" and LONG.startswith(cut[1]) and cut[2]


def test_keys_reach_the_ai_and_the_journal(cast, plays):
    play = plays["keys"]
    assert play.told(play.session, "user") == ["[keypad] 12", "[keypad] 3#"]
    turns = [(one["speaker"], one["message"]) for one in play.journal() if one["type"] == "turn"]
    assert [one for one in turns if one[0] == "caller"] == [
        ("caller", "[keypad] 12"),
        ("caller", "[keypad] 3#"),
    ]
    assert cast.metric("dtmf_digits_total") == 4


def test_the_hash_key_ends_the_number_at_once(plays):
    play = plays["keys"]
    pressed = play.call.times("dtmf")[-1] + play.call.began_ms
    told = play.session.received("conversation.item.create")[-1].ms
    assert told - pressed < 400


def test_a_machine_gets_the_message_whole(plays):
    """Its own voice interrupts nothing."""
    play = plays["message left"]
    assert (play.ended["reason"], play.ended["verdict"]) == ("voicemail", "hangup")
    assert play.turns() == [("assistant", MESSAGE, False)]
    assert play.call.data("clear") == []
    assert play.call.unplayed_ms == 0
    assert bytes(play.call.received) == audio(MESSAGE)


@pytest.mark.parametrize("name", ["no message", "a fax"])
def test_a_machine_that_cannot_be_told_anything_is_hung_up_on(plays, name):
    play = plays[name]
    assert (play.ended["reason"], play.ended["verdict"]) == ("voicemail", "hangup")
    assert play.sessions == [] and not play.call.received


def test_a_machine_that_is_found_out_gets_the_message(plays):
    play = plays["found out"]
    assert (play.ended["reason"], play.ended["verdict"]) == ("voicemail", "hangup")
    assert play.turns()[-1] == ("assistant", MESSAGE, False)
    assert play.call.unplayed_ms == 0
    assert bytes(play.call.received).endswith(audio(MESSAGE))


def test_a_machine_that_is_found_out_is_hung_up_on(plays):
    play = plays["found out, no message"]
    assert (play.ended["reason"], play.ended["verdict"]) == ("voicemail", "hangup")
    assert MESSAGE not in play.words()


@pytest.mark.parametrize("name", ["a person", "perhaps a person", "not known for long"])
def test_people_are_not_taken_for_machines(plays, name):
    play = plays[name]
    assert play.words() == ["Good morning.", "What time is it?", "It is noon."]


def test_the_longest_call_ends_with_words(plays):
    play = plays["talks"]
    assert hints(play) == ["warning", "limit"]
    assert (play.ended["reason"], play.ended["verdict"]) == ("time_limit", "hangup")
    lasted = play.call.times("ended")[0] - play.call.times("start")[0]
    assert LIMIT_S * 1000 <= lasted < LIMIT_S * 1000 + 12_000


def test_the_goodbye_waits_for_the_sentence_under_way(plays):
    """A last word that comes while the assistant speaks is not lost."""
    play = plays["listens at the limit"]
    assert hints(play)[-1] == "limit"
    assert play.ended["reason"] == "time_limit"
    assert play.words()[-1] == play.case.scenario.unscripted
    assert play.call.unplayed_ms == 0
