"""Nothing lost, nothing double, nothing out of order: what everybody saw, against Postgres.

What only a primary knew that is gone, before its replica had it, is told apart: that is no more than Redis promises.

Three witnesses: the proxies know which journal entries Redis acknowledged, the AI's stand-in what it
said, heard and was told, the carrier's what the caller heard and which webhooks were answered.
"""

import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Sequence

from flow.servers import eventually
from standins import g711

from . import story
from .faults import Fault
from .rig import Rig
from .story import Story

APPEND_MS = 1500  # a turn that is complete is in the journal by then, unless something is wrong
SPOOL_MS = 3500  # or on its worker's disk: it waits for a second, and is looked at once a second
SETTLED_MS = 1000  # a worker that has come back has its connections and sessions
UNFAIR_STALL_SECONDS = 2
BACK_MS = 6000  # after Redis came back: the longest pause between two tries, and the replay
UNSENT_MS = (1000, 4000)  # before a primary is struck and after: what it acknowledges then may not outlive it
OWN = ("call", "stream", "id", "event")  # of what was acknowledged: not fields of the entry
MACHINE = "machine"  # as a target: it had no time for the stand-ins
SLOT = re.compile(r"^[CA]\d+\.(\d+)\b")


@dataclass
class Findings:
    problems: list[str] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)

    def expect(self, good: bool, what: str) -> None:
        if not good:
            self.problems.append(what)


class Weather:
    """Which faults could have kept a worker from doing its work at a time."""

    def __init__(
        self, faults: list[Fault], stalls: list[tuple[float, float]], takeovers: Sequence[tuple[str, float]] = ()
    ) -> None:
        self._faults = [fault for fault in faults if fault.begun_ms]
        for begin, end in stalls:
            seconds = (end - begin) / 1000
            self._faults.append(Fault(0, MACHINE, "stall", MACHINE, seconds, begun_ms=begin, ended_ms=end))
        for victim, ms in takeovers:
            if not any(one.victim == victim and one.begun_ms <= ms <= one.ended_ms + BACK_MS for one in self._faults):
                self._faults.append(Fault(0, MACHINE, "takeover", "redis", 0, 0, 0, ms - BACK_MS, ms, victim))

    def _between(self, targets: set[str], begin: float, end: float, after: float) -> list[Fault]:
        return [
            one
            for one in self._faults
            if one.target in targets and one.begun_ms - 300 < end and one.ended_ms + after > begin
        ]

    def appended_by(self, worker: str, ms: float) -> float:
        """When what was complete at that time must be in Redis or on disk, if the worker lives."""
        until = ms + APPEND_MS
        while True:
            away = self._between(self._redis_of(worker), ms, until, BACK_MS)
            later = max([until, *(one.ended_ms + BACK_MS for one in away)])
            if later <= until:
                return min(until, ms + SPOOL_MS)
            until = later

    def _redis_of(self, worker: str) -> set[str]:
        """It, the way to it, the ways to its servers."""
        return {one.target for one in self._faults if re.fullmatch(rf"redis(-\d+|-{worker})?", one.target)}

    def gone_with_its_primary(self, entry: dict) -> bool:
        """Whoever acknowledged it may have died, or been replaced, before its replica had it."""
        before, after = UNSENT_MS
        return any(
            one.victim == entry["_by"] and one.begun_ms - before <= entry["_ms"] <= one.ended_ms + after
            for one in self._faults
            if one.victim
        )

    def troubled(self, begin: float, end: float) -> bool:
        """Something else was not as it should be while a call changed hands. A worker that is dead is the
        reason for it; one that is frozen may have the stream offered and keep it waiting."""
        targets = {one.target for one in self._faults}
        return any(one.action != "kill" for one in self._between(targets, begin, end, SETTLED_MS))

    def stalled(self, begin: float, end: float) -> float:
        """The longest time, of those that lie between, in which the machine did not keep up: seconds."""
        return max((one.seconds for one in self._between({MACHINE}, begin, end, 0)), default=0)

    def disturbed(self, worker: str, begin: float, end: float) -> bool:
        own = {worker, f"media-{worker}", f"ai-{worker}", MACHINE}
        return bool(self._between(own, begin, end, 300))


def check(rig: Rig, faults: list[Fault], seconds: float = 60) -> Findings:
    """Waits until everything has come to rest, then compares the calls since the last check."""
    found = Findings()
    stories = [one for one in rig.cast.stories.values() if not one.checked]
    wait_at_rest(rig, found, seconds)
    kept: dict[str, list[dict]] = defaultdict(list)
    for entry in rig.proxies.kept():
        kept[entry["call"]].append(entry)
    weather = Weather(faults, rig.stalls(), rig.store.takeovers())
    for one in stories:
        one.lost = _check_kept(rig, one.call.sid, kept[one.call.sid], weather, found)
        if _was_served(one):
            _check_call(rig, one, weather, found)
        if not _told_why(one):
            _judge_lost(one, kept[one.call.sid], weather, found)
    _check_left_over(rig, stories, found)
    found.counts["primaries replaced"] = len(rig.store.takeovers())
    found.counts["keys moved"] = rig.store.moved()
    for one in stories:
        one.checked = True
    found.problems += [f"the AI complains: {one.code} {one.text}" for one in rig.provider.violations]
    return found


def wait_at_rest(rig: Rig, found: Findings, seconds: float) -> None:
    client = rig.redis()

    def at_rest() -> bool:
        if any(worker.metrics()["ringfleet_calls_active"] > 0 for worker in rig.workers):
            return False  # it may still have something to write
        live = sum(map(client.zcard, rig.indexes("live")))
        return rig.spooled() + live + sum(map(client.xlen, rig.indexes("ended"))) == 0

    try:
        eventually("the last call to be flushed", at_rest, seconds)
    except TimeoutError as error:
        live = [client.zrange(key, 0, -1, withscores=True) for key in rig.indexes("live")]
        found.problems.append(f"{error}: live {live}, ended {list(map(client.xrange, rig.indexes('ended')))}")


# ---- one call ----


def _was_served(one: Story) -> bool:
    return any(verb.name == "Connect" for document in one.call.answers for verb in document.verbs)


def _told_why(one: Story) -> bool:
    """The script ran to its end; or the caller never got in, and heard the configured words."""
    if one.finished:
        return True
    verbs = {verb.name for document in one.call.answers for verb in document.verbs}
    return not _was_served(one) and "Say" in verbs


def _judge_lost(one: Story, kept: list[dict], weather: Weather, found: Findings) -> None:
    """Callers and assistant have patience for what the faults take; not for a machine that stands still as well."""
    if weather.stalled(one.call.began_ms, one.call.began_ms + one.call.events[-1].ms) >= UNFAIR_STALL_SECONDS:
        found.counts["calls the machine had no time for"] += 1
    elif one.lost or any(entry["stream"] == "none" and weather.gone_with_its_primary(entry) for entry in kept):
        found.counts["calls lost with a primary"] += 1
    else:
        found.expect(False, f"call {one.plan.index} was lost: {_trace(one)}")


def _trace(one: Story) -> str:
    noisy = ("media", "mark", "mark-echo", "assistant-begin")
    events = [f"{event.ms:.0f} {event.kind}" for event in one.call.events if event.kind not in noisy]
    return f"{one.call.sid} {one.call.script_error!r} {one.call.violations} {'; '.join(events)}"


def _check_kept(rig: Rig, sid: str, kept: list[dict], weather: Weather, found: Findings) -> list[dict]:
    """Redis has all it acknowledged, but what only a primary knew that is gone: that is returned, and counted."""
    client, lost = rig.redis(), []
    written = dict(client.xrange(rig.key(sid, ":writes")))
    events = {entry["id"]: entry for _, entry in client.xrange(rig.key(sid, ":events"))}
    for entry in kept:
        if entry["stream"] == "none":  # opened: nothing is left of it, not even in Postgres
            known = written or rig.sql("select 1 from call_flush where call_sid = %s", sid)
            lost += [entry] * (not known and weather.gone_with_its_primary(entry))
            continue
        found.counts["entries acknowledged"] += 1
        fields = {name: value for name, value in entry.items() if name not in OWN and name[0] != "_"}
        there = written.get(entry["id"]) if entry["stream"] == "writes" else events.get(entry["event"])
        if there is not None and fields.items() <= there.items():
            continue
        excused = weather.gone_with_its_primary(entry)
        found.expect(excused, f"{entry} was acknowledged and is gone")
        found.counts["entries lost with a primary"] += excused
        lost += [entry] * excused
    return lost


def _check_call(rig: Rig, one: Story, weather: Weather, found: Findings) -> None:
    sid, who = one.call.sid, f"call {one.plan.index} ({one.call.sid})"
    rows = rig.sql("select * from conversation_turn where call_sid = %s order by seq", sid)
    writes = rig.redis().xrange(rig.key(sid, ":writes"))
    _check_journal(rig, who, one, writes, rows, found)
    _check_turns(who, _as_spoken(rows, writes), found)
    _check_heard(rig, one, who, rows, weather, found)
    _check_told(rig, one, who, found)
    _check_status(rig, one, who, found)
    # A greeting that was cut by the loss of its worker is begun again.
    times = bytes(one.call._heard).count(story.sound(story.greeting_of(one.plan.index)))
    found.expect(times <= 1, f"{who} was greeted {times} times")
    found.counts["resumes"] += max(0, len(one.call.data("start")) - 1)


def _turn(entry_id: str, entry: dict[str, str]) -> tuple[int, str, str]:
    return int(entry_id.split("-")[1]), entry["speaker"], entry["message"]


def _check_journal(rig, who: str, one: Story, writes, rows, found: Findings) -> None:
    """Its numbers have no gap, and Postgres has all that Redis has, once."""
    sid = one.call.sid
    seqs = [int(entry_id.split("-")[1]) for entry_id, _ in writes]
    lost = {int(entry["id"].split("-")[1]) for entry in one.lost if entry["stream"] == "writes"}
    whole = sorted({*seqs, *(seq for seq in lost if seq < max(seqs, default=0))})
    found.expect(seqs == sorted(seqs) and whole == list(range(1, len(whole) + 1)), f"{who}: the journal has gaps: {seqs}")
    found.counts["entries from disk"] += sum("spooled" in entry for _, entry in writes)
    turns = [_turn(entry_id, entry) for entry_id, entry in writes if entry["type"] == "turn"]
    stored = [(row["journal_seq"], row["speaker"], row["message"]) for row in rows]
    in_time = [_turn(entry["id"], entry) for entry in one.lost if entry.get("type") == "turn"]  # flushed before the loss
    stored = [row for row in stored if row in turns or row not in in_time]
    found.expect(stored == turns, f"{who}: journal {turns} became {stored}")
    for entry_id, entry in writes:
        if entry["type"] == "appointment_create":
            query = "select 1 from appointment where call_sid = %s and seq = %s"
            count = len(rig.sql(query, sid, int(entry_id.split("-")[1])))
            found.expect(count == 1, f"{who}: {count} rows for {entry_id} {entry}")
    (ledger,) = rig.sql("select * from call_flush where call_sid = %s", sid) or [None]
    last = writes[-1][0] if writes else "0-0"
    marked = ledger and f"{ledger['writes_epoch']}-{ledger['writes_seq']}"
    ahead = one.lost and int(marked.split("-")[1] if marked else 0) >= int(last.split("-")[1])
    found.expect(marked == last or ahead, f"{who}: the ledger is at {marked}, the journal at {last}")


def _as_spoken(rows: list[dict], writes) -> list[dict]:
    """What came from a dead worker's disk stands behind the turns of the next one, with the time when it was said."""
    late = any("spooled" in entry for _, entry in writes)
    return sorted(rows, key=lambda row: row["started_at"]) if late else rows


def _check_turns(who: str, rows, found: Findings) -> None:
    found.counts["turns in Postgres"] += len(rows)
    numbers = sorted(row["seq"] for row in rows)
    found.expect(numbers == list(range(1, len(rows) + 1)), f"{who}: turns are numbered {numbers}")
    for speaker in ("caller", "assistant"):
        said = [row["message"] for row in rows if row["speaker"] == speaker]
        slots = [int(match.group(1)) for match in map(SLOT.match, said) if match]
        found.expect(slots == sorted(set(slots)), f"{who}: {speaker} turns in order {said}")


def _stream_at(one: Story, rig: Rig, ms: float) -> tuple[str, float] | None:
    """The worker whose media stream the call had at a time, and when that stream ended."""
    worker, ended = None, float("inf")
    for event in one.call.events:
        at = one.call.began_ms + event.ms
        if event.kind == "media-target" and at <= ms:
            worker, ended = rig.media_ports[event.data], float("inf")
        elif event.kind == "socket-closed" and worker is not None and ended == float("inf"):
            ended = at
            if at > ms:
                return worker, at
    return (worker, ended) if worker is not None and ended > ms else None


def _must_be_kept(one: Story, rig: Rig, weather: Weather, ms: float) -> str | None:
    """The worker that had what was complete at that time, and all the time it needed to append it."""
    stream = _stream_at(one, rig, ms)
    if stream is None or stream[1] < ms + 300:
        return None
    worker = stream[0]
    return None if weather.disturbed(worker, ms - 300, weather.appended_by(worker, ms)) else worker


def _check_heard(rig: Rig, one: Story, who: str, rows, weather: Weather, found: Findings) -> None:
    messages = [row["message"] for row in rows]
    dead = [json.loads(entry["entry"]) for entry in _dead(rig) if one.lost and entry["call_sid"] == one.call.sid]
    gone = [entry["message"].split(" ")[0] for entry in [*one.lost, *dead] if "message" in entry]
    for transcript in one.transcripts:
        worker = _must_be_kept(one, rig, weather, transcript.ms)
        if transcript.text.split(" ")[0] in gone:
            continue
        if worker is None or rig.ai_hosts.get(transcript.session.host) != worker:
            continue
        found.counts["caller turns checked"] += 1
        found.expect(
            messages.count(transcript.text) == 1,
            f"{who}: the AI heard {transcript.text!r} at {transcript.ms:.0f}, rows {messages}",
        )
    begun = one.call._media_ms
    heard = bytes(one.call._heard)
    for _, text in one.said:
        at = heard.find(story.sound(text))
        if at < 0 or begun is None or text.split(" ")[0] in gone:
            continue
        ended = one.call.began_ms + begun + g711.milliseconds(story.sound(text)) + at / 8
        if _must_be_kept(one, rig, weather, ended) is None:
            continue
        found.counts["assistant turns checked"] += 1
        found.expect(
            sum(message.split(" ")[0] == text.split(" ")[0] for message in messages) == 1,
            f"{who}: the caller heard {text!r} to the end at {ended:.0f}, rows {messages}",
        )


def _check_told(rig: Rig, one: Story, who: str, found: Findings) -> None:
    oks = Counter(told.tool for told in one.told if told.ok)
    gone = {entry.get("type") for entry in one.lost}
    if oks["set_customer_name"] and "lead_update" not in gone:
        number = story.number_of(one.plan.index)
        names = [row["full_name"] for row in rig.sql("select full_name from lead where phone_number = %s", number)]
        found.counts["names told"] += 1
        found.expect(names == [one.plan.name], f"{who}: {one.plan.name!r} became {names}")
    rows = rig.sql("select * from appointment where call_sid = %s", one.call.sid)
    found.expect(len(rows) <= 1, f"{who}: {len(rows)} appointments: {rows}")
    if oks["book_appointment"] and "appointment_create" not in gone:
        found.counts["appointments told"] += 1
        good = [row["starts_at"] for row in rows if row["status"] == "booked"] == [one.plan.starts_at]
        found.expect(good, f"{who}: was told {one.plan.starts_at}, rows {rows}")


def _check_status(rig: Rig, one: Story, who: str, found: Findings) -> None:
    answered = [hook for hook in one.call.data("webhook") if "/voice/status" in hook["url"]]
    rows = rig.sql("select * from call_log where call_sid = %s", one.call.sid)
    found.expect(len(rows) == 1, f"{who}: {len(rows)} rows in call_log")
    lost = any(entry["stream"] == "events" for entry in one.lost)
    if rows and not lost and any(hook["status"] < 300 for hook in answered):
        found.counts["statuses checked"] += 1
        status = rows[0]["status"]
        found.expect(status == one.call.status, f"{who}: {one.call.status} became {status}")


# ---- what is left in Redis ----


def _dead(rig: Rig) -> list[dict[str, str]]:
    client = rig.redis()
    return [entry for key in rig.indexes("dead") for _, entry in client.xrange(key)]


def _check_left_over(rig: Rig, stories: list[Story], found: Findings) -> None:
    client = rig.redis()
    pending = sum(client.xpending(key, "flusher")["pending"] for key in rig.indexes("ended"))
    found.expect(pending == 0, f"{pending} ended calls are still pending")
    lost = {one.call.sid for one in stories if one.lost}
    found.counts["entries of lost calls, dead"] = sum(entry["call_sid"] in lost for entry in _dead(rig))
    dead = [entry for entry in _dead(rig) if entry["call_sid"] not in lost]
    found.expect(dead == [], f"dead entries: {json.dumps(dead)}")
    for key in rig.indexes("flushed"):
        for sid in client.zrange(key, 0, -1):
            client.zadd(key, {sid: 1}, xx=True)

    def gone() -> bool:
        return not list(client.scan_iter("rf:*:call:*", count=1000))

    try:
        eventually("flushed calls to leave Redis", gone, 15)
    except TimeoutError:
        found.problems.append(f"left in Redis: {sorted(client.scan_iter('rf:*:call:*'))[:10]}")
