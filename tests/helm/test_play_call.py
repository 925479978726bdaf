"""The script of `helm test` against the real programs: it passes where it should, and fails."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from flow.fleet import AUTH_TOKEN, PUBLIC_URL
from flow.stage import Stage
from scenarios import harbour_dental
from standins.scenario import Scenario, turn

from . import chart, tools

SCRIPT = chart.CHART / "files" / "play_call.py"
GREETING = "Thank you for calling Harbour Dental. May I have your name, please?"

pytestmark = pytest.mark.usefixtures("programs")


@pytest.fixture(scope="module")
def stage():
    scenario = Scenario("test", GREETING, (turn("Hello.", "Hello."),), caller_hangs_up=True)
    with Stage(scenario) as one:
        yield one


def play(stage, tmp_path, called: str, token: str = AUTH_TOKEN, **more: str):
    """Runs the script with what its pod would have."""
    secret = tmp_path / "token"
    secret.write_text(token)
    pod = chart.pick(chart.render("development"), "Pod", "test")["spec"]
    names = set(chart.environment(pod["containers"][0]))
    environment = {
        "WARMER": f"http://{stage.fleet.warmer.listen}",
        "WORKER": stage.fleet.workers[0].listen,
        "PUBLIC_URL": PUBLIC_URL,
        "AUTH_TOKEN_FILE": str(secret),
        "CALLER": harbour_dental.CALLER_NUMBER,
        "CALLED": called,
        "EXPECT_GREETING": "true",
        "TIMEOUT": "20",
        **more,
    }
    assert set(environment) == names
    return tools.run("/usr/bin/python3", str(SCRIPT), environment=environment)


def test_a_call_is_played_to_its_end(stage, tmp_path):
    done = play(stage, tmp_path, harbour_dental.BUSINESS_NUMBER)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the call was played to its end" in done.stdout
    (opened,) = stage.fleet.logged("call opened")[-1:]
    stage.fleet.wait_flushed(opened["call"])
    (row,) = stage.fleet.sql("select * from call_log where call_sid = %s", opened["call"])
    assert row["status"] == "completed"


def test_an_unknown_number_is_refused_politely(stage, tmp_path):
    done = play(stage, tmp_path, "")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "refused politely" in done.stdout


def test_a_wrong_auth_token_fails_the_test(stage, tmp_path):
    assert play(stage, tmp_path, harbour_dental.BUSINESS_NUMBER, token="wrong").returncode != 0


def test_a_fleet_without_ai_apologizes(tmp_path):
    """A fleet whose AI provider cannot be reached passes only where no greeting is expected."""
    with Stage(Scenario("silent", GREETING, ())) as stage:
        stage.run(stage.provider.stop())

        def outcome(expect: str):
            return play(stage, tmp_path, harbour_dental.BUSINESS_NUMBER, EXPECT_GREETING=expect)

        with ThreadPoolExecutor() as both:
            strict, lenient = both.map(outcome, ("true", "false"))
    assert strict.returncode != 0 and "did not speak" in strict.stderr
    assert lenient.returncode == 0, lenient.stdout + lenient.stderr
