"""The demo call: a caller gives a name, interrupts a long answer and books an appointment."""

from datetime import datetime, timedelta, timezone

from standins.scenario import Reply, Scenario, tool, turn

BUSINESS_NUMBER = "+14155550199"
CALLER_NUMBER = "+14155550123"
CALLER_NAME = "Jane Miller"


def next_thursday_at_ten(now: datetime | None = None) -> datetime:
    """Never today; the demo's business keeps UTC."""
    today = (now or datetime.now(timezone.utc)).replace(minute=0, second=0, microsecond=0)
    ahead = (3 - today.weekday() - 1) % 7 + 1
    return today.replace(hour=10) + timedelta(days=ahead)


def scenario() -> Scenario:
    starts_at = next_thursday_at_ten()
    return Scenario(
        name="Harbour Dental: a first call",
        greeting="Thank you for calling Harbour Dental. May I have your name, please?",
        turns=(
            turn(
                "Hello, this is Jane Miller.",
                Reply(calls=(tool("set_customer_name", name=CALLER_NAME),)),
                "Nice to meet you, Jane. We offer check ups, cleaning and whitening. Our opening"
                " hours are Monday to Friday from eight to six, and on Saturday from nine to"
                " noon. You can park behind the house, and there is a lift to our floor.",
            ),
            turn(
                "Sorry, I only need a check up on Thursday at ten.",
                Reply(
                    "Of course.",
                    calls=(
                        tool(
                            "book_appointment",
                            starts_at=starts_at.isoformat(),
                            duration_minutes=30,
                            title="Check-up",
                            notes="Asked for Thursday at ten.",
                        ),
                    ),
                ),
                "You are booked for Thursday at ten. Is there anything else?",
                interrupts_after_ms=2000,  # the AI is still generating: 13 s of speech take it 2.6 s
            ),
            turn(
                "No, thank you. Goodbye.",
                Reply("Goodbye, Jane.", calls=(tool("end_call", reason="caller said goodbye"),)),
            ),
        ),
    )
