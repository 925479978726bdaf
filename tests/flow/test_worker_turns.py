"""Turns: what was said, what was heard, and in which order, whatever comes late, twice or not at all."""

import pytest

from flow.cast import GREETING, Cast, Case, line
from standins.realtime import Faults
from standins.scenario import Reply, tool, turn

pytestmark = pytest.mark.usefixtures("programs")

STORY = "There is a lot to tell, so please sit down and listen. " * 5
QUESTION = turn("What time is it?", "It is noon.")
TALK = turn("Tell me about it.", STORY)
STOP = turn("Stop, please.", "Of course.")


async def stop_the_story(play) -> None:
    await play.quiet()
    await play.say("Tell me about it.")
    await play.call.hear(1500)
    await play.say("Stop, please.")
    await play.quiet()
    play.call.hang_up()


async def speaks_and_the_line_goes_quiet(play) -> None:
    """Frames stop right after the last word: no silence tells the AI that the turn is over."""
    await play.quiet()
    await play.say("What time is it?")
    play.call.stream.withheld = True
    await play.stay(2.5)
    play.call.stream.withheld = False
    await play.quiet()
    play.call.hang_up()


async def hangs_up_on_the_last_word(play) -> None:
    await play.quiet()
    await play.say("What time is it?")
    play.call.hang_up()


async def fails(play, times: int, how: str = "fail_responses") -> None:
    await play.quiet()
    setattr(play.conversation.faults, how, times)
    await play.say("What time is it?")
    if times == 1:
        await play.quiet()
        play.call.hang_up()


async def thinks_better_of_it(play) -> None:
    """Speaks again while the AI writes down what a tool shall do."""
    await play.quiet()
    await play.say("Take a message.")
    begun = "response.function_call_arguments.delta"
    await play.until("a tool call", lambda: play.session.sent(begun))
    await play.say("Stop, please.")
    await play.quiet()
    play.call.hang_up()


async def two_turns_quickly(play) -> None:
    await play.quiet()
    await play.say("What time is it?")
    await play.until("the answer", lambda: play.call.heard_ms() > 300)
    await play.quiet()
    await play.say("And tomorrow?")
    await play.quiet()
    await play.stay(2)  # the first words are written down by now
    play.call.hang_up()


TWO = line(QUESTION, turn("And tomorrow?", "The same."))
CASES = [
    Case("late deltas", line(TALK, STOP), stop_the_story, Faults(late_deltas=6)),
    Case("a gap", line(QUESTION), speaks_and_the_line_goes_quiet),
    Case("hangs up at once", line(QUESTION), hangs_up_on_the_last_word),
    Case("transcription fails", TWO, None, Faults(fail_transcriptions=1)),
    Case("no words", line(turn("What time is it?", "It is noon.", heard_as=" "), TWO.turns[1])),
    Case("words out of order", TWO, two_turns_quickly, Faults(transcription_s=[2.0, 0.1])),
    Case("words late", TWO, two_turns_quickly, Faults(transcription_s=[1.4, 1.4])),
    Case("an answer fails once", line(QUESTION), lambda play: fails(play, 1), Faults()),
    Case(
        "an answer fails twice",
        line(QUESTION),
        lambda play: fails(play, 2),
        Faults(transcription_s=[0.0]),  # before the call is over
    ),
    Case(
        "an answer is empty once",
        line(QUESTION),
        lambda play: fails(play, 1, "empty_responses"),
        Faults(),
    ),
    Case(
        "a tool call comes twice",
        line(
            turn(
                "I am Jane.",
                Reply(calls=(tool("set_customer_name", name="Jane Miller"),)),
                "Hello Jane.",
            )
        ),
        None,
        Faults(repeat_tool_calls=True),
    ),
    Case(
        "a tool call is cut short",
        line(turn("Take a message.", Reply(calls=(tool("take_message", message="Call me."),)), "It is noted."), STOP),
        thinks_better_of_it,
        Faults(arguments_s=20),
    ),
]


@pytest.fixture(scope="module")
def cast():
    with Cast() as cast:
        yield cast


@pytest.fixture(scope="module")
def plays(cast):
    half = len(CASES) // 2
    done = [*cast.play(*CASES[:half]), *cast.play(*CASES[half:])]
    return {one.case.name: one for one in done}


def test_late_audio_of_an_interrupted_answer_is_not_played(cast, plays):
    """No audio between the clear and the next answer: it would speak into the caller's words."""
    play = plays["late deltas"]
    (cleared,) = play.call.times("clear")
    answers = play.session.sent("response.created")
    answered = answers[-1].ms - play.call.began_ms
    assert [ms for ms in play.call.times("media") if cleared + 5 < ms < answered] == []
    assert cast.metric("late_audio_dropped_total") >= 4


def test_the_ai_remembers_at_most_what_was_heard(plays):
    """Truncation counts audio heard, not audio queued."""
    play = plays["late deltas"]
    (clear,) = play.call.data("clear")
    (cut,) = play.session.truncations
    assert clear["heard_ms"] - 400 <= cut.audio_end_ms <= clear["heard_ms"] + 100


def test_the_transcript_is_cut_to_what_was_heard(plays):
    play = plays["late deltas"]
    cut = play.turns()[2]
    assert cut[0] == "assistant" and cut[2] and STORY.startswith(cut[1])
    words_a_second = len(STORY.split()) / 18
    assert 1 <= len(cut[1].split()) <= 2.5 * words_a_second
    assert play.words()[3:] == ["Stop, please.", "Of course."]


def test_a_gap_in_the_callers_audio_ends_the_turn(cast, plays):
    play = plays["a gap"]
    (stopped,) = play.session.sent("input_audio_buffer.speech_stopped")
    said = play.call.times("say-end")[-1] + play.call.began_ms
    assert stopped.ms - said < 2400  # frames came again only after 2.5 s
    assert play.words()[1:] == ["What time is it?", "It is noon."]
    assert cast.metric("silence_filled_bytes_total") > 0


def test_the_last_words_before_a_hangup_are_kept(plays):
    """In the recording, but not in the transcript: the words are written down after the hangup."""
    play = plays["hangs up at once"]
    assert play.words()[-1] == "What time is it?"
    assert play.ended["reason"] == "carrier_stop"


@pytest.mark.parametrize("name", ["transcription fails", "no words"])
def test_words_that_do_not_come_hold_nothing_up(plays, name):
    play = plays[name]
    assert play.words()[1:] == ["It is noon.", "And tomorrow?", "The same."]


def test_words_out_of_order_are_put_in_order(plays):
    for name in ("words out of order", "words late"):
        expected = ["What time is it?", "It is noon.", "And tomorrow?", "The same."]
        assert plays[name].words()[1:] == expected


@pytest.mark.parametrize("name, status", [("fails", "failed"), ("is empty", "incomplete")])
def test_an_answer_that_was_not_given_is_asked_for_again(plays, name, status):
    """Silence is the one answer a caller must not get."""
    play = plays[f"an answer {name} once"]
    statuses = [one.event["response"]["status"] for one in play.session.sent("response.done")]
    assert statuses[-2:] == [status, "completed"]
    assert play.words()[1:] == ["What time is it?", "It is noon."]


def test_an_answer_that_failed_twice_ends_in_words(plays):
    play = plays["an answer fails twice"]
    assert (play.ended["reason"], play.ended["verdict"]) == ("ai_failed", "apology")
    assert play.words()[1:] == ["What time is it?"]


def test_a_tool_call_that_comes_twice_runs_once(plays):
    play = plays["a tool call comes twice"]
    assert len(play.session.tool_outputs) == 1
    updates = [one for one in play.journal() if one["type"] == "lead_update"]
    assert len(updates) == 1
    assert play.words()[-1] == "Hello Jane."


def test_answers_are_asked_for_one_at_a_time(cast, plays):
    for play in plays.values():
        errors = [one.event["error"]["code"] for one in play.session.sent("error")]
        assert errors.count("conversation_already_has_active_response") <= 1, errors
    assert cast.metric("ai_refused_total") <= 2


def test_a_tool_call_that_the_caller_cuts_short_is_not_run(plays):
    """What the AI had written of it is half of the arguments, or a thing that is no longer wanted."""
    play = plays["a tool call is cut short"]
    assert play.words() == [GREETING, "Take a message.", "Stop, please.", "Of course."]
    assert play.session.tool_outputs == []
    assert play.logged("tool call refused") == []
    assert not [one for one in play.journal() if "Call me." in one.get("data", "")]
