"""A database that stands still when the phone rings: the call is answered with what there is, and the rest
arrives in the middle of it."""

from contextlib import ExitStack

import pytest

from flow.stage import Stage
from flow.warmer_rig import frozen_database, leave_snapshot, set_settings, wait_database
from scenarios.harbour_dental import BUSINESS_NUMBER, CALLER_NUMBER
from standins import speech
from standins.scenario import Scenario, turn

pytestmark = pytest.mark.usefixtures("programs")

CHAT = Scenario(
    "a chat", "Hello, you have reached us.", (turn("What time is it?", "It is noon."),), caller_hangs_up=True
)


async def answers(call, stage) -> None:
    text = CHAT.turns[0].caller
    await call.say(speech.speak(text, speech.CALLER), text)
    await call.wait_for(lambda: call.quiet_ms() >= 500 and stage.provider.idle(), 30, "the answer")
    call.hang_up()


async def thawed_in_the_greeting(call, stage, thaw: ExitStack) -> None:
    await call.hear(300)
    thaw.close()
    await call.wait_for(lambda: upgrades(stage), 30, "the upgrade")
    await answers(call, stage)


async def thawed_after_the_upgrade(call, stage, thaw: ExitStack) -> None:
    await call.wait_for(lambda: upgrades(stage), 30, "the upgrade")
    thaw.close()
    await call.wait_for(lambda: len(upgrades(stage)) == 2, 30, "the second")
    await answers(call, stage)


def upgrades(stage) -> list[str]:
    return [one.text for session in stage.provider.talking() for one in session.instructions[1:]]


@pytest.mark.parametrize(
    "source, script, stale",
    [("minimal", thawed_in_the_greeting, 0), ("snapshot", thawed_after_the_upgrade, 1)],
    ids=["nothing was known", "the business was known"],
)
def test_late_data_reaches_the_conversation(source, script, stale):
    """Prompt upgrade with what the database said meanwhile, tools and slots too; nothing is asked of it again."""
    with Stage(CHAT) as stage, ExitStack() as thaw:
        fleet = stage.fleet
        wait_database(fleet)
        fleet.sql("update lead set full_name = 'Jane Miller' where phone_number = %s", CALLER_NUMBER)
        set_settings(fleet, '{"transfer_number": "+14155550177"}')
        if source == "snapshot":
            leave_snapshot(fleet, From="+14155550155")
        thaw.enter_context(frozen_database(fleet))
        call = stage.start_call(CALLER_NUMBER, BUSINESS_NUMBER, lambda call: script(call, stage, thaw))
        stage.finish(call)
        stage.check(call)
        assert [one["source"] for one in fleet.logged("call opened", call.sid)] == [source]
        assert call.data("twiml")[0]["ms"] < 1500
        (session,) = stage.provider.talking()
        compact, *rest = session.instructions
        late = rest[-1].text
        assert "Jane" not in compact.text and len(rest) == stale + 1
        assert "You speak with Jane." in late and late == fleet.context(call.sid)["prompt_full"]
        tools = [[tool["name"] for tool in update["tools"]] for update in session.updates if "tools" in update]
        assert all(len({"instructions", "tools"} & set(update)) == 1 for update in session.updates[1:]), "refused apart"
        assert "transfer_call" in tools[-1] and "transfer_call" not in (tools[0] if source == "minimal" else [])
        assert len({update["audio"]["output"]["voice"] for update in session.updates if "audio" in update}) == 1
        words = [entry["message"] for _, entry in fleet.journal(call.sid) if entry["type"] == "turn"]
        assert words == [CHAT.greeting, "What time is it?", "It is noon."]
        begin, end = call.wall(session.instructions[-1].ms - call.began_ms), float(fleet.session(call.sid)["ended_ms"]) / 1000
        assert fleet.statements_between(begin, end) == []
