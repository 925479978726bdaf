"""What the carrier is told when a stream has ended and nobody said why: another stream at once, later if no worker
was there to take the last one, and words when patience is over."""

import signal

import pytest

from flow.fleet import PUBLIC_URL, Fleet
from flow.redis_functions import named
from flow.warmer_rig import (
    APOLOGY,
    Answer,
    after,
    dialled,
    form_of,
    metric,
    new_sid,
    post,
    ring,
    set_settings,
    wait_database,
    wait_redis,
    without_workers,
)

pytestmark = pytest.mark.usefixtures("programs")

HOLD = "One moment, please."
MAX_RESUMES = 5


@pytest.fixture(scope="module")
def fleet():
    with without_workers() as one:
        wait_database(one)
        yield one


def claim(fleet: Fleet, sid: str, n: int) -> None:
    """As a worker does it."""
    token = fleet.session(sid)[f"token:{n}"]
    keys = [fleet.key(sid, suffix) for suffix in ("", ":session", ":writes")] + ["rf:{p0}:live"]
    client = fleet.redis()
    answer = client.fcall(named("rf_claim"), 4, *keys, sid, n, token, "w", "MZ", 60_000, "{}")
    assert answer[0] == "CLAIMED", answer


def hand_over(fleet: Fleet, sid: str) -> None:
    session = fleet.session(sid)
    fleet.redis().hset(fleet.key(sid, ":session"), "handed_over", session["epoch"])


def pause(answer: Answer) -> tuple[str, int]:
    """The words and the seconds before the last verb."""
    words, seconds = "", 0
    for verb in answer.document().verbs[:-1]:
        if verb.name == "Say":
            assert seconds == 0, "words come first"
            words = verb.text
        else:
            assert verb.name == "Pause"
            seconds = int(verb.attributes["length"])
    return words, seconds


def test_each_loss_of_a_worker_gets_a_stream_at_once_and_losses_are_bounded(fleet):
    sid = new_sid()
    ring(fleet, sid)
    for n in range(MAX_RESUMES):
        claim(fleet, sid, n)
        assert after(fleet, sid, n).names() == ["Connect"]
        assert after(fleet, sid, n).names() == ["Connect"]  # asked twice: no second loss
    claim(fleet, sid, MAX_RESUMES)
    assert APOLOGY in after(fleet, sid, MAX_RESUMES).words()


def test_a_worker_that_carried_a_call_for_long_has_not_failed_because_of_it(fleet):
    """Calls of an hour on machines that come and go: what was lost long ago does not end them."""
    sid = new_sid()
    ring(fleet, sid)
    for n in range(2 * MAX_RESUMES):
        claim(fleet, sid, n)
        fleet.redis().hincrby(fleet.key(sid, ":session"), "seen_ms", -60_000)
        assert after(fleet, sid, n).names() == ["Connect"]
    for n in range(2 * MAX_RESUMES, 3 * MAX_RESUMES - 1):  # the last of those was the first of these
        claim(fleet, sid, n)
        assert after(fleet, sid, n).names() == ["Connect"]
    claim(fleet, sid, 3 * MAX_RESUMES - 1)
    assert APOLOGY in after(fleet, sid, 3 * MAX_RESUMES - 1).words()


def test_a_call_may_be_handed_over_as_often_as_it_takes(fleet):
    """A rolling upgrade moves a call from worker to worker: nobody has failed it."""
    sid = new_sid()
    ring(fleet, sid)
    for n in range(3 * MAX_RESUMES):
        claim(fleet, sid, n)
        hand_over(fleet, sid)
        assert after(fleet, sid, n).names() == ["Connect"]
    assert fleet.session(sid)["losses"] == "0"
    claim(fleet, sid, 3 * MAX_RESUMES)
    assert after(fleet, sid, 3 * MAX_RESUMES).names() == ["Connect"]
    assert fleet.session(sid)["losses"] == "0"
    claim(fleet, sid, 3 * MAX_RESUMES + 1)
    assert fleet.session(sid)["losses"] == "1"


def test_streams_that_nobody_took_wait_longer_each_time(fleet):
    sid = new_sid()
    ring(fleet, sid)
    waited, n = [], 0
    while (answer := after(fleet, sid, n)).names()[-1] == "Connect":
        waited.append(pause(answer))
        n += 1
    assert [seconds for _, seconds in waited] == [0, 1, 2, 4, 8, 8, 8, 8, 8, 8]
    assert [words for words, _ in waited] == ["", ""] + [HOLD] * 8
    assert APOLOGY in answer.words()
    assert metric(fleet, 'call_waits_total{for="worker"}') == 9


def test_a_worker_that_came_ends_the_waiting(fleet):
    sid = new_sid()
    ring(fleet, sid)
    for n in range(4):
        after(fleet, sid, n)
    claim(fleet, sid, 4)
    assert pause(after(fleet, sid, 4)) == ("", 0)
    assert [pause(after(fleet, sid, n))[1] for n in (5, 6, 7)] == [0, 1, 2]


def test_a_business_has_its_own_words_and_number(fleet):
    set_settings(fleet, '{"hold_text": "Nous revenons.", "fallback_number": "+14155550100"}')
    try:
        sid = new_sid()
        ring(fleet, sid)
        assert pause(after(fleet, sid, 3)) == ("Nous revenons.", 4)
        assert dialled(after(fleet, sid, 30)) == "+14155550100"
    finally:
        set_settings(fleet, "{}")
        ring(fleet, new_sid())


def asked_again(answer: Answer) -> str:
    """The path that a document sends the carrier to."""
    redirect = answer.document().verbs[-1]
    assert redirect.name == "Redirect" and redirect.text.startswith(PUBLIC_URL)
    return redirect.text.removeprefix(PUBLIC_URL).split("#")[0]


def test_redis_that_is_restarted_meanwhile_is_asked_again():
    with without_workers(RINGFLEET_RESUME_WAIT_SECONDS="4") as fleet:
        wait_database(fleet)
        sid, other = new_sid(), new_sid()
        for one in (sid, other):
            ring(fleet, one)
            claim(fleet, one, 0)
        fleet.redis_server.stop(signal.SIGKILL)
        wait_redis(fleet, 0)
        waited, answer = [], after(fleet, sid, 0)
        for _ in range(2):
            waited.append(pause(answer))
            path = asked_again(answer)
            answer = post(fleet, path, form_of(sid, "in-progress"))
        assert waited == [("", 1), (HOLD, 2)] and path == "/voice/after/0/2"
        assert APOLOGY in answer.words()  # 1 + 2 + 4 is more than it may wait
        fleet.redis_server.start()
        wait_redis(fleet)
        assert post(fleet, "/voice/after/0/1", form_of(other, "in-progress")).names() == ["Connect"]
        assert post(fleet, "/voice/after/0/", form_of(other, "in-progress")).status == 404
        assert post(fleet, "/voice/after/0/1/1", form_of(other, "in-progress")).status == 404
