"""Long calls whose every word is known, through one or several workers; and whether anything was lost."""

import contextlib
from collections.abc import Callable

from flow.servers import RedisServer, eventually
from flow.stage import Stage
from scenarios import harbour_dental
from standins import caller, g711, speech
from standins.call import Call
from standins.scenario import Conversation, Scenario, turn

NUMBERS = (harbour_dental.CALLER_NUMBER, harbour_dental.BUSINESS_NUMBER)
GREETING = "Thank you for calling Harbour Dental. May I have your name, please?"
CHAT = Scenario(
    "a chat",
    GREETING,
    (
        turn("What time is it?", "It is noon."),
        turn("Are you open on Saturday?", "On Saturday we are open from nine to noon."),
        turn("Where do I park?", "You can park behind the house."),
        turn("And which floor is it?", "It is the second floor."),
    ),
    caller_hangs_up=True,
)
SPOKEN = [("assistant", GREETING)] + [
    line for one in CHAT.turns for line in (("caller", one.caller), ("assistant", one.replies[0].say))
]


# The end of each thing the assistant says, and the quiet after which a caller takes the half of one for
# the whole: longer than a busy machine may hold up the audio.
ENDS = tuple(
    speech.speak(text, speech.ASSISTANT)[-20 * g711.FRAME_BYTES :] for who, text in SPOKEN if who == "assistant"
)
PATIENCE_MS = 3000


def _heard_out(call: Call) -> bool:
    return call.received.endswith(ENDS) or call.quiet_ms() >= PATIENCE_MS


class Own(Conversation):
    """A session's own conversation: one that was told of the past goes on where that ends."""

    def __init__(self, session) -> None:
        super().__init__(CHAT)
        self._session = session
        self._caught_up = False

    def caller_spoke(self) -> str:
        self._catch_up()
        return super().caller_spoke()

    def next_reply(self):
        self._catch_up()
        return super().next_reply()

    def _catch_up(self) -> None:
        if self._caught_up:
            return
        self._caught_up = True
        past = [
            part["text"]
            for item in self._session.items.values()
            if item["type"] == "message" and item["id"].startswith("past_")
            for part in item["content"]
        ]
        self.greeted = bool(past)
        self.turns_taken = sum(text == one.caller for text in past for one in CHAT.turns)


@contextlib.contextmanager
def fleet_of(workers: int, redis: Callable = RedisServer, **env: str):
    with Stage(CHAT, workers=workers, redis=redis, env={"RINGFLEET_AI_POOL_SIZE": "0", **env}) as stage:
        stage.provider.play(Own)
        yield stage


def talk(stage: Stage):
    """A call whose caller waits for the answer, not for the provider: several calls share it."""
    script = caller.follow(CHAT, _heard_out)
    return stage.start_call(*NUMBERS, script)


def all_turns(stage: Stage, call) -> list[tuple[str, str]]:
    rows = stage.fleet.sql(
        "select speaker, message from conversation_turn where call_sid = %s order by seq", call.sid
    )
    return [(row["speaker"], row["message"].strip()) for row in rows]


def check_gapless(stage: Stage, call) -> list[int]:
    """The epochs of the journal, in order."""
    ids = [tuple(map(int, entry_id.split("-"))) for entry_id, _ in stage.fleet.journal(call.sid)]
    assert [seq for _, seq in ids] == list(range(1, len(ids) + 1)), ids
    epochs = [epoch for epoch, _ in ids]
    assert epochs == sorted(epochs), ids
    return sorted(set(epochs))


def check_whole(stage: Stage, call, streams: int) -> None:
    """Nothing was lost, doubled, or said twice; and nothing said that nobody waited for."""
    stage.finish(call)
    stage.fleet.wait_flushed(call.sid)
    assert all_turns(stage, call) == SPOKEN
    assert len(call.data("socket-closed")) == streams
    assert call.data("ended") == ["completed"]
    call.check()


def underway(stage: Stage, call, entries: int = 4) -> None:
    """Waits until the call's journal has so many entries: owner, greeting, a question, its answer."""
    eventually(f"{entries} entries", lambda: len(stage.fleet.journal(call.sid)) >= entries)
