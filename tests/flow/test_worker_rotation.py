"""Sessions that reach their provider's limit are replaced before it, in a pause: nobody hears of it."""

import pytest

from flow.cast import GREETING, Cast, Case, asked_ms, line
from standins import speech
from standins.scenario import turn

pytestmark = pytest.mark.usefixtures("programs")

LIFE_S = 30
LEAD_S = LIFE_S / 4
QUESTION = turn("What time is it?", "It is noon.")
LAST = turn("Thank you.", "You are welcome.")
STORY = "There is a lot to tell, so please sit down and listen to me."
TALK = turn("Tell me about it.", STORY)


async def thank(play) -> None:
    await play.say("Thank you.")
    await play.quiet()
    play.call.hang_up()


async def shortly_before(play, seconds: float) -> None:
    """Before the next session is opened."""
    first = play.sessions[0]
    await play.until("its age", lambda: first.age_ms() > (LIFE_S - LEAD_S - seconds) * 1000)


async def waits_for_two(play) -> None:
    await play.quiet()
    for sessions in (2, 3):
        await play.until("the next session", lambda n=sessions: len(took_over(play)) == n)
    await play.say("What time is it?")
    await play.quiet()
    await thank(play)


async def speaks_when_it_stands_by(play) -> None:
    await play.quiet()
    await shortly_before(play, 0.5)
    await play.say("What time is it?")
    await play.quiet()
    play.call.hang_up()


async def listens_when_it_stands_by(play) -> None:
    await play.quiet()
    await shortly_before(play, 1.5)
    await play.say("Tell me about it.")
    await play.quiet()
    play.call.hang_up()


async def no_other_is_to_be_had(play) -> None:
    """For a while, in which the one that is there does its work."""
    await play.quiet()
    await shortly_before(play, 2)
    play.cast.provider.faults.refuse_upgrades = 1
    await play.until("the refusal", lambda: play.cast.provider.faults.refuse_upgrades == 0)
    await play.say("What time is it?")
    await play.quiet()
    await thank(play)


def took_over(play) -> list:
    """The sessions that were told of the conversation, and the first."""
    first, *others = play.sessions
    return [first] + [one for one in others if one.received("conversation.item.create")]


CASES = [
    Case("in a pause", line(QUESTION, LAST), waits_for_two),
    Case("the caller speaks", line(QUESTION), speaks_when_it_stands_by),
    Case("the assistant speaks", line(TALK), listens_when_it_stands_by),
]
REFUSED = Case("refused at first", line(QUESTION, LAST), no_other_is_to_be_had)


@pytest.fixture(scope="module")
def cast():
    env = {
        "RINGFLEET_AI_POOL_SIZE": "0",
        "RINGFLEET_SILENCE_NUDGE_SECONDS": "0",
        "RINGFLEET_SILENCE_HANGUP_SECONDS": "0",
    }
    with Cast(env=env) as cast:
        cast.provider.session_s = LIFE_S
        yield cast


@pytest.fixture(scope="module")
def plays(cast):
    done = [*cast.play(*CASES), *cast.play(REFUSED)]
    return {one.case.name: one for one in done}


def expired(session) -> bool:
    return any(one.event["error"]["code"] == "session_expired" for one in session.sent("error"))


def test_a_session_is_replaced_before_its_limit_strikes(cast, plays):
    """Provider sessions expire in mid-call, at the worst moment; with every one of them that is avoided."""
    play = plays["in a pause"]
    first, second, third = took_over(play)
    for before, after in ((first, second), (second, third)):
        assert not expired(before)
        assert asked_ms(after) - before.opened_ms >= (LIFE_S - LEAD_S - 1) * 1000
        assert before.closed_ms - before.opened_ms < LIFE_S * 1000
    assert play.words() == [GREETING, "What time is it?", "It is noon.", "Thank you.", "You are welcome."]
    assert cast.metric("ai_sessions_rotated_total") >= 2
    assert [one["turns"] for one in play.logged("AI session rotated")] == [1, 1]
    play.journal()


def test_the_next_session_knows_what_was_said_and_keeps_quiet(plays):
    first, second, third = took_over(plays["in a pause"])
    for session in (second, third):
        assert plays["in a pause"].told(session, "assistant") == [GREETING]
        assert [one.text.split()[-1] for one in session.instructions] == ["full"]
        assert session.received("response.create") == []
        configured = session.sent("session.updated")[0].ms
        assert configured < session.received("conversation.item.create")[0].ms


def test_the_last_half_second_of_the_line_is_heard_again(plays):
    """A word that had just begun when the session changed."""
    _, second, _ = took_over(plays["in a pause"])
    appends = second.received("input_audio_buffer.append")
    at_once = [one.event["audio"] for one in appends if one.ms - appends[0].ms < 100]
    assert 3500 <= sum(at_once) <= 10_000


@pytest.mark.parametrize(
    "name, said",
    [
        ("the caller speaks", [GREETING, "What time is it?", "It is noon."]),
        ("the assistant speaks", [GREETING, "Tell me about it.", STORY]),
    ],
    ids=["the caller", "the assistant"],
)
def test_no_session_changes_while_somebody_speaks(plays, name, said):
    """The other one stands by, knows the settings, and waits."""
    play = plays[name]
    first, second = play.sessions
    assert second.sent("session.updated") and asked_ms(second) < first.closed_ms
    assert took_over(play) == [first]
    assert speech.speak(said[1], speech.CALLER)[:-160] in bytes(first.heard)
    assert play.words() == said
    assert play.call.data("clear") == [] and play.logged("AI session lost") == []


def test_the_old_session_serves_until_another_is_to_be_had(plays):
    play = plays["refused at first"]
    assert play.words() == [GREETING, "What time is it?", "It is noon.", "Thank you.", "You are welcome."]
    assert len(play.logged("no AI session to take over from the one that ends soon")) == 1
    assert [one for one in play.logged("AI session lost")] == []
