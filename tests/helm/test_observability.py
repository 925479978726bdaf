"""Alerts, dashboard and scrape configuration: what they name exists, in /metrics of the real programs."""

import json
import re
from pathlib import Path

import pytest
import yaml

from flow.fleet import Fleet

from . import chart, tools

RULES = chart.CHART / "files" / "rules.yaml"
DASHBOARD = chart.CHART / "files" / "dashboards" / "ringfleet.json"


def rules() -> list[dict]:
    return [rule for group in yaml.safe_load(RULES.read_text()) for rule in group["rules"]]


def expressions() -> dict[str, str]:
    """PromQL by where it stands."""
    found = {f"alert {rule['alert']}": rule["expr"] for rule in rules()}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            found[f"panel {panel['title']} {target['refId']}"] = target["expr"]
    return found


@pytest.fixture(scope="module")
def samples() -> dict[str, list[dict[str, str]]]:
    """Labels of every sample of the three programs, by name."""
    found: dict[str, list[dict[str, str]]] = {}
    with Fleet(ai_url="ws://127.0.0.1:1", env={"RINGFLEET_AFTER_CALL_HOOK": "1"}) as fleet:
        for program in fleet.programs():
            for sample in program.metrics():
                name, _, labels = sample.partition("{")
                found.setdefault(name, []).append(dict(re.findall(r'(\w+)="(.*?)"', labels)))
    return found


@pytest.mark.usefixtures("programs")
def test_every_metric_named_exists(samples):
    assert len(expressions()) > 40
    for where, expression in expressions().items():
        names = re.findall(r"\bringfleet_\w+", expression)
        assert names or "up{" in expression, where
        for name in names:
            assert name in samples, f"{where}: no program has {name}"


@pytest.mark.usefixtures("programs")
def test_every_label_named_exists(samples):
    of_the_target = {"namespace", "pod", "job", "le"}
    for where, expression in expressions().items():
        for name, matchers in re.findall(r"\b(ringfleet_\w+)\{(.*?)\}", expression):
            for label, how, value in re.findall(r'(\w+)(=~|!=|=)"(.*?)"', matchers):
                if label in of_the_target:
                    continue
                values = [labels[label] for labels in samples[name] if label in labels]
                pattern = value if how == "=~" else re.escape(value)
                assert any(re.fullmatch(pattern, one) for one in values), f"{where}: {label}"
        for grouped in re.findall(r"by \((.*?)\)", expression):
            for label in set(re.split(r", *", grouped)) - of_the_target:
                names = re.findall(r"\bringfleet_\w+", expression)
                assert any(label in labels for name in names for labels in samples[name]), where


@pytest.mark.usefixtures("programs")
def test_what_the_text_names_exists(samples):
    """Metrics and alerts, as people who look for help read of them."""
    known = {re.sub(r"_(bucket|sum|count)$", "", name) for name in samples} | {rule["alert"] for rule in rules()}
    root = chart.CHART.parent.parent
    for folder in ("", "warmer", "worker", "flusher", "common/redis", "helm/ringfleet"):
        text = (root / folder / "README.md").read_text()
        for name in re.findall(r"`(ringfleet_\w+|Ringfleet\w+|\w+_total)\b", text):
            full = name if name.lower().startswith("ringfleet") else f"ringfleet_{name}"
            assert full in known, f"{folder}/README.md: {name}"


def test_promtool_takes_the_rules(tmp_path: Path):
    groups = chart.pick(chart.render("keda"), "PrometheusRule", "fleet")["spec"]["groups"]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": groups}))
    done = tools.run(tools.program("promtool"), "check", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def fires(series: dict[str, str], alert: str, fires: bool, at: str = "10m") -> dict:
    """A case for promtool: what of a worker's pod is scraped every 15 seconds, and whether this alert fires then."""
    (rule,) = [one for one in rules() if one["alert"] == alert]
    labels = {"severity": rule["labels"]["severity"]}
    summary = rule["annotations"]["summary"]
    if "labels.pod" in summary:
        labels["pod"] = "w1"
    if not rule["expr"].startswith(("sum", "max", "absent")):  # the whole series', but for its name
        labels |= {"namespace": "calls", "job": "fleet-ringfleet-worker-admin"}
    if "labels.reason" in summary:
        labels["reason"] = "redis"
    summary = re.sub(r"{{ \$labels\.(\w+) }}", lambda match: labels[match[1]], summary)
    wanted = [{"exp_labels": labels, "exp_annotations": {"summary": summary}}]
    return {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": wanted if fires else []}],
    }


def of_worker(name: str, more: str = "") -> str:
    return f'{name}{{namespace="calls", pod="w1", job="fleet-ringfleet-worker-admin"{more}}}'


def check_alerts(tmp_path: Path, cases: list[dict], settings: dict | None = None) -> None:
    groups = chart.pick(chart.render("keda", settings), "PrometheusRule", "fleet")["spec"]["groups"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    test = {"rule_files": ["rules.yaml"], "evaluation_interval": "15s", "tests": cases}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    done = tools.run(tools.program("promtool"), "test", "rules", "test.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_and_do_not(tmp_path: Path):
    """A loss, an absence, a ratio."""
    room = {of_worker("ringfleet_calls_capacity"): "100x60"}
    active, refused = of_worker("ringfleet_calls_active"), of_worker("ringfleet_journal_refused_total")
    spool_refused = of_worker("ringfleet_spool_refused_total", ', reason="full"')
    cases = [
        fires({**room, active: "81x60"}, "RingfleetWorkersNearlyFull", True),
        fires({**room, active: "79x60"}, "RingfleetWorkersNearlyFull", False),
        fires({refused: "0x30 1x30"}, "RingfleetWritesLost", True),
        fires({refused: "1x60"}, "RingfleetWritesLost", False),
        fires({spool_refused: "0x30 1x30"}, "RingfleetSpoolRefuses", True),
        fires({spool_refused: "1x60"}, "RingfleetSpoolRefuses", False),
        fires({of_worker("up"): "0x60", **room}, "RingfleetNoWorker", True),
        fires({of_worker("up"): "1x60", **room}, "RingfleetNoWorker", False),
    ]
    check_alerts(tmp_path, cases)


def test_a_letter_rings_until_somebody_has_looked(tmp_path: Path):
    letters = of_worker("ringfleet_dead_letters")
    cases = [
        fires({letters: "1x240"}, "RingfleetDeadEntries", True, "50m"),
        fires({letters: "1x30 0x30"}, "RingfleetDeadEntries", False),
    ]
    check_alerts(tmp_path, cases)


def test_what_must_last_is_over_when_its_pod_has_left(tmp_path: Path):
    """Of a pod that was there for a short time only, no alert is left either."""
    backlog, draining = of_worker("ringfleet_ended_backlog"), of_worker("ringfleet_draining")
    pressed, loops = of_worker("ringfleet_loops_pressed"), of_worker("ringfleet_loops")
    cases = [
        fires({backlog: "200x80"}, "RingfleetBacklogGrows", True),
        fires({backlog: "200x20 50 200x59"}, "RingfleetBacklogGrows", False),
        fires({backlog: "200x8 stale"}, "RingfleetBacklogGrows", False, "3m"),
        fires({draining: "1x80"}, "RingfleetDrainStuck", True),
        fires({draining: "1x80"}, "RingfleetDrainStuck", False, "9m"),
        fires({draining: "1x8 stale"}, "RingfleetDrainStuck", False, "3m"),
        fires({pressed: "2x80", loops: "2x80"}, "RingfleetLoopPressed", True),
        fires({pressed: "1x80", loops: "2x80"}, "RingfleetLoopPressed", False),
        fires({pressed: "2x4 0x80", loops: "2x80"}, "RingfleetLoopPressed", False, "1m"),
        fires({pressed: "2x40 stale", loops: "2x40 stale"}, "RingfleetLoopPressed", False, "12m"),
    ]
    check_alerts(tmp_path, cases)


def test_a_drain_is_stuck_when_it_is_longer_than_it_was_to_be(tmp_path: Path):
    """And before the pod is killed: it leaves the endpoints first, so it is told later than the grace period begins."""
    worker = {"drainSeconds": 3600, "terminationGracePeriodSeconds": 3640}
    draining = of_worker("ringfleet_draining")
    cases = [
        fires({draining: "1x300"}, "RingfleetDrainStuck", False, "1h"),
        fires({draining: "1x300"}, "RingfleetDrainStuck", True, f"{3640 - 10}s"),
    ]
    check_alerts(tmp_path, cases, {"worker": worker})


def test_a_call_that_found_no_worker_rings_once(tmp_path: Path):
    for_workers, for_redis = (
        of_worker("ringfleet_apologies_total", f', reason="{reason}"') for reason in ("resumes", "redis")
    )
    cases = [
        fires({for_workers: "0x30 1x30"}, "RingfleetResumesFail", True),
        fires({for_workers: "0x30 1x30"}, "RingfleetApologies", False),
        fires({for_redis: "0x30 1x30"}, "RingfleetApologies", True),
        fires({for_redis: "0x30 1x30"}, "RingfleetResumesFail", False),
    ]
    check_alerts(tmp_path, cases)


def test_every_alert_says_what_and_how_bad():
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) >= 20
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"].endswith(".")


def test_rules_look_at_their_own_namespace():
    text = chart.text("keda")
    assert "NAMESPACE" not in text
    for rule in rules():
        for matchers in re.findall(r"(?:ringfleet_\w+|\bup)\{(.*?)\}", rule["expr"]):
            assert 'namespace="NAMESPACE"' in matchers, rule["alert"]


def test_the_monitor_finds_the_admin_ports():
    manifests = chart.render("keda")
    monitor = chart.pick(manifests, "ServiceMonitor", "fleet")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    services = [
        one["metadata"]["name"].removeprefix("fleet-ringfleet-")
        for one in manifests
        if one["kind"] == "Service" and wanted <= one["metadata"]["labels"].items()
    ]
    assert sorted(services) == ["flusher-admin", "warmer-admin", "worker-admin"]
    for name in services:
        (port,) = chart.pick(manifests, "Service", name)["spec"]["ports"]
        assert port["name"] == monitor["spec"]["endpoints"][0]["port"]


def test_the_dashboard_travels_whole():
    config = chart.pick(chart.render("keda"), "ConfigMap", "dashboard")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config["data"]["ringfleet.json"]) == json.loads(DASHBOARD.read_text())
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
