"""Plays one phone call through the real programs and shows that every promise was kept.

    PYTHONPATH=tests python3 -m play.call build/demo

Writes the recording to the directory that is named (caller left, assistant right).
"""

import sys
import threading
import traceback
from pathlib import Path

from flow import first_call
from flow.stage import Stage
from scenarios import harbour_dental

from .timeline import Timeline

POLL_S = 0.1


def main() -> int:
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    timeline = Timeline()
    scenario = harbour_dental.scenario()
    print("Starting Redis, Postgres, warmer, worker and flusher ...", flush=True)
    with Stage(
        scenario, on_call_event=timeline.on_call_event, on_ai_event=timeline.on_ai_event
    ) as stage:
        print(f"\n{scenario.name}\n\n seconds     << the caller   >> the assistant   .. a tool\n")
        evidence = follow(stage, timeline)
        recording = directory / "call.wav"
        evidence.call.save_wav(recording)
        show_rows(evidence)
        failures = show_checks(evidence)
        statements = len(evidence.live_statements())
    print(f"\nSQL statements between greeting and hangup: {statements}")
    print(f"Recording: {recording}")
    return 1 if failures else 0


def follow(stage: Stage, timeline: Timeline) -> first_call.Evidence:
    """Plays the call while the timeline is printed from the logs."""
    done: list[first_call.Evidence | BaseException] = []

    def play() -> None:
        try:
            done.append(first_call.play(stage))
        except BaseException as error:
            done.append(error)
        finally:
            over.set()

    over = threading.Event()
    threading.Thread(target=play, name="play").start()
    while not over.wait(POLL_S):
        timeline.read_logs(stage.fleet)
        timeline.print_due()
    timeline.read_logs(stage.fleet)
    timeline.print_due(everything=True)
    if isinstance(done[0], BaseException):
        raise done[0]
    return done[0]


def show_rows(e: first_call.Evidence) -> None:
    sql, sid = e.fleet.sql, e.call.sid
    print("\nWhat landed in Postgres")
    table(
        "lead",
        sql(
            "select b.name as business, l.phone_number, l.full_name, l.name_source"
            " from lead l join business b on b.id = l.business_id where l.id = %s",
            int(e.context["lead_id"]),
        ),
    )
    table(
        "call_log",
        sql(
            "select left(call_sid, 8) || '..' as call_sid, status, duration_seconds as seconds,"
            " end_reason from call_log where call_sid = %s",
            sid,
        ),
    )
    table(
        "appointment",
        sql(
            "select to_char(starts_at at time zone 'UTC', 'Dy YYYY-MM-DD HH24:MI') as starts_at,"
            " extract(minute from ends_at - starts_at)::int as minutes, title, status"
            " from appointment where call_sid = %s",
            sid,
        ),
    )
    table(
        "conversation_turn",
        sql(
            "select seq, speaker, case when interrupted then 'yes' else '' end as cut,"
            " case when length(message) > 50 then left(message, 48) || '..' else message end"
            " as message from conversation_turn where call_sid = %s order by seq",
            sid,
        ),
    )


def table(title: str, rows: list[dict]) -> None:
    print(f"\n  {title}")
    if not rows:
        print("    (no row)")
        return
    texts = [[str(cell) if cell is not None else "-" for cell in row.values()] for row in rows]
    heads = list(rows[0])
    widths = [max(map(len, column)) for column in zip(heads, *texts)]
    for cells in [heads, ["-" * width for width in widths], *texts]:
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths))
        print("    " + line.rstrip())


def show_checks(e: first_call.Evidence) -> int:
    print("\nWhat was checked")
    failures = 0
    for title, check in first_call.CHECKS:
        try:
            check(e)
        except Exception as error:
            failures += 1
            print(f"  FAILED  {title}")
            reason = str(error).strip() or traceback.format_exc(limit=-1).strip()
            print("          " + reason.replace("\n", "\n          "))
        else:
            print(f"  ok      {title}")
    return failures


if __name__ == "__main__":
    sys.exit(main())
