"""Others cut texts in the middle of a character, or write NUL: what they say is kept with U+FFFD in its place, from the
first message to the row in Postgres, and no call is lost for it."""

import json

import pytest

from flow.cast import GREETING, Cast, Case, line
from standins.scenario import Reply, tool, turn

pytestmark = pytest.mark.usefixtures("programs")

HALF, OTHER_HALF, NUL, WHOLE = "\ud83d", "\ude00", "\0", "\U0001f600"


def mended(text: str) -> str:
    return "".join("\ufffd" if one in (HALF, OTHER_HALF, NUL) else one for one in text)


QUESTION = f"My name is Jane {HALF} Miller{NUL}."
ANSWER = f"Hello Jane {WHOLE}. How {OTHER_HALF} are {HALF} you{NUL}?"
NAME = f"Jane {HALF}Miller{NUL}"
TURNS = [
    turn(
        "My name is Jane Miller.",
        Reply(
            calls=(
                tool("set_customer_name", name=NAME),
                tool("take_message", message=f"Call {NUL} me {OTHER_HALF}"),
            )
        ),
        ANSWER,
        heard_as=QUESTION,
    ),
    turn("And tomorrow?", f"Tomorrow too{HALF}."),
]


def test_a_call():
    with Cast(workers=1) as cast:
        (play,) = cast.play(Case("halves", line(*TURNS)))
        assert play.words() == [mended(one) for one in (GREETING, QUESTION, ANSWER, "And tomorrow?", f"Tomorrow too{HALF}.")]
        assert len(play.sessions) == 1, "the session was given up"
        (lead,) = cast.fleet.sql(
            "select * from lead where id = (select lead_id from call_log where call_sid = %s)", play.sid
        )
        assert lead["full_name"] == mended(NAME)
        (message,) = [one["data"] for one in play.journal() if one["type"] == "callsession_update" and "me" in one["data"]]
        assert json.loads(message)
        assert cast.metric("texts_mended_total") > 0
        assert not cast.fleet.redis().exists("rf:{p0}:dead")
