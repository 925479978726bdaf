"""The first word: at once, whoever has it, and never twice."""

import pytest

from flow.cast import GREETING, Cast, Case, audio, line
from flow.servers import eventually
from standins.realtime import Faults
from standins.scenario import turn

pytestmark = pytest.mark.usefixtures("programs")

LONG_GREETING = "Hello, and welcome to our house. " * 4 + "How can I help?"
CUT_GREETING = "Good day, and welcome to this house. " * 4 + "What can I do?"
SPEECH = turn("What time is it?", "It is noon.")
FULL_SECONDS = 2  # what the AI takes to open in the second round


async def interrupt(play) -> None:
    """Speaks over the greeting, hears the answer, hangs up."""
    await play.call.hear(700)
    await play.say("What time is it?")
    await play.quiet()
    play.call.hang_up()


async def hear_some(play) -> None:
    await play.call.hear(9000)
    play.call.hang_up()


PLAIN = Case("plain", line(SPEECH))
CUT = Case("cut while the AI speaks it", line(SPEECH, greeting=CUT_GREETING), interrupt)
OTHER = Case("other words", line(SPEECH), greeting="Good morning. What can I do for you?")
ENDLESS = Case("longer than 30 s", line(greeting="We are open every day of the week. " * 18), hear_some)
OVER = Case("spoken over", line(SPEECH, greeting=LONG_GREETING))


@pytest.fixture(scope="module")
def cast():
    with Cast(env={"RINGFLEET_AI_POOL_SIZE": "0"}) as cast:
        yield cast


@pytest.fixture(scope="module")
def first(cast):
    """The AI speaks each greeting for the first time."""
    return {one.case.name: one for one in cast.play(PLAIN, CUT, OTHER, ENDLESS, OVER)}


@pytest.fixture(scope="module")
def second(cast, first):
    """The same businesses again; the AI takes its time."""
    cast.provider.faults.upgrade_delay_s = FULL_SECONDS
    over = Case(OVER.name, OVER.scenario, interrupt)
    plays = cast.play(PLAIN, over)
    cast.provider.faults.upgrade_delay_s = 0
    return {one.case.name: one for one in plays}


def test_a_greeting_is_spoken_once_and_kept(cast, first):
    play = first["plain"]
    assert play.words() == [GREETING, "What time is it?", "It is noon."]
    assert cast.fleet.redis_server.client().exists(cast.greeting_key(PLAIN)) == 1
    assert bytes(play.call.received).startswith(audio(GREETING))
    ttl = cast.fleet.redis().ttl(cast.greeting_key(PLAIN))
    assert 6 * 86400 < ttl <= 7 * 86400


def test_nobody_waits_for_the_first_word(first):
    """Four to five seconds from the answer to the first sentence, people report, and want one: the AI's own greeting,
    which nobody has spoken before, with five calls at once."""
    assert max(play.first_audio_ms() for play in first.values()) < 2500


@pytest.mark.parametrize("case", [CUT, OTHER, ENDLESS], ids=lambda case: case.name)
def test_what_is_not_kept(cast, first, case):
    """A greeting that was cut, or in other words than those asked for, or without end."""
    assert cast.fleet.redis().exists(cast.greeting_key(case)) == 0


def test_the_next_caller_hears_it_at_once(second):
    """Greetings that take four seconds although later answers take one: the AI was awaited."""
    play = second["plain"]
    assert play.first_audio_ms() < 400
    (session,) = play.sessions
    opened = session.sent("session.created")[0].ms - play.call.began_ms
    assert opened > play.call.times("assistant-begin")[0] + 1000  # the AI came much later


def test_it_is_the_same_sound_to_the_byte(first, second):
    """The first words of a greeting like to get lost on phones."""
    clip = audio(GREETING)
    for play in (first["plain"], second["plain"]):
        assert bytes(play.call.received)[: len(clip)] == clip
        assert bytes(play.call.received).count(clip[:4000]) == 1  # and it was not spoken again


def test_the_ai_knows_what_the_caller_has_heard(second):
    play = second["plain"]
    assert play.told(play.session, "assistant") == [GREETING]
    told = play.session.received("conversation.item.create")[0].ms
    assert told < play.session.sent("response.created")[0].ms
    assert play.words() == [GREETING, "What time is it?", "It is noon."]
    asked = play.session.received("response.create")
    assert asked == []  # the caller's words alone brought the answer


def test_speaking_over_the_cached_greeting(second):
    """The words said before the AI could hear are heard all the same, and the greeting stops."""
    play = second["spoken over"]
    (clear,) = play.call.data("clear")
    assert clear["dropped_ms"] > 0
    (known,) = play.told(play.session, "assistant")
    assert LONG_GREETING.startswith(known) and len(known) < len(LONG_GREETING)
    (speaker, words, interrupted), *rest = play.turns()
    assert (speaker, words, interrupted) == ("assistant", known, True)
    assert [row[1] for row in rest] == ["What time is it?", "It is noon."]


def test_interrupted_while_the_ai_speaks_it(first):
    play = first["cut while the AI speaks it"]
    (cut,) = play.session.truncations
    (clear,) = play.call.data("clear")
    assert cut.audio_end_ms <= clear["heard_ms"] + 100
    (_, words, interrupted), *rest = play.turns()
    assert interrupted and CUT_GREETING.startswith(words)
    assert [row[1] for row in rest] == ["What time is it?", "It is noon."]


@pytest.mark.parametrize("name", ["plain", "spoken over"])
@pytest.mark.parametrize("which", ["first", "second"])
def test_the_full_prompt_takes_over_once_after_the_greeting(first, second, which, name):
    play = {"first": first, "second": second}[which][name]
    (session,) = play.sessions
    compact, full = [one.text.split()[-1] for one in session.instructions]
    assert (compact, full) == ("compact", "full")
    over = play.call.times("clear") or [0]
    upgraded = session.instructions[1].ms - play.call.began_ms
    heard = play.call.times("assistant-begin")[0]
    # Two sockets, two readers: what was sent second may be noted first by a hair.
    assert upgraded > (over[0] - 50 if over[0] else heard + 500)
    assert len(play.logged("prompt upgraded")) == 1


def test_upgrades_take_less_than_10_ms(cast, first, second):
    count = cast.metric("prompt_upgrade_seconds_count")
    assert count == len(first) - 1 + len(second)  # one caller hung up during the greeting
    assert cast.metric("prompt_upgrade_seconds_sum") / count < 0.010


def test_a_greeting_that_could_not_be_spoken_is_asked_for_again(cast):
    """With its words, not as any answer; and the audio of both tries does not make one greeting."""
    case = Case("failed once", line(SPEECH, greeting="Good evening."), faults=Faults(fail_responses=1))
    (play,) = cast.play(case)
    asked = play.session.received("response.create")
    hints = [one.event["response"]["instructions"] for one in asked]
    assert len(hints) == 2 and hints[0] == hints[1] and "Good evening." in hints[0]
    kept = cast.fleet.redis_server.client()
    length = eventually("the greeting", lambda: kept.strlen(cast.greeting_key(case)))
    assert length == len(audio("Good evening."))
