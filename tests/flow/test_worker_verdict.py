"""What the worker has decided reaches the carrier though Redis, through which it goes, is away in that moment."""

import asyncio
import signal

import pytest

from flow.cast import GREETING, Cast, Case, line
from standins.call import CallEnded
from standins.scenario import Reply, tool, turn

pytestmark = pytest.mark.usefixtures("programs")

BYE = turn("Good bye.", Reply("Good bye to you.", calls=(tool("end_call", reason="done"),)))


def test_an_assistant_that_hangs_up_while_redis_is_away():
    """The line does not stay open in silence, nor is the caller connected anew after the good bye."""

    async def says_good_bye(play) -> None:
        await play.quiet()
        server = play.cast.fleet.redis_server
        await asyncio.to_thread(server.stop, signal.SIGKILL)
        await play.say("Good bye.")
        await play.quiet()
        await play.until("the good bye", lambda: len(play.call.times("assistant-begin")) == 2)
        await asyncio.to_thread(server.start)
        with pytest.raises(CallEnded):
            await play.until("nothing any more", lambda: False)

    with Cast(env={"RINGFLEET_AI_POOL_SIZE": "0"}) as cast:
        (play,) = cast.play(Case("good bye", line(BYE), says_good_bye))
        assert play.words() == [GREETING, "Good bye.", "Good bye to you."]
        play.journal()
        assert (play.ended["reason"], play.ended["verdict"]) == ("agent_hangup", "hangup")
        assert len(play.sessions) == len(play.call.data("socket-closed")) == 1
        documents = [one["body"] for one in play.call.data("twiml")]  # it may be held until the warmer has Redis, too
        assert "<Hangup" in documents[-1] and sum("<Stream" in one for one in documents) == 1
