"""The chart, and the READMEs, know every setting and every secret that --help of the programs shows."""

import importlib.machinery
import importlib.util
import re

import pytest

from . import chart, tools

PROGRAMS = ("warmer", "worker", "flusher")
SCRIPT = tools.ROOT / "helm" / "settings-schema"

pytestmark = pytest.mark.usefixtures("programs")


@pytest.fixture(scope="module")
def script():
    loader = importlib.machinery.SourceFileLoader("settings_schema", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def test_the_schema_is_what_help_says():
    done = tools.run(str(SCRIPT), "--check", str(chart.bin_directory()))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_secret_and_every_required_setting_is_given(script, program):
    (container,) = chart.pick(chart.render("minimal"), "Deployment", program)["spec"]["template"][
        "spec"
    ]["containers"]
    given = set(chart.environment(container))
    for one in script.settings(chart.bin_directory(), program):
        name = f"RINGFLEET_{one['name']}" + ("_FILE" if one["secret"] else "")
        if one["name"] in script.OWN and one["name"] not in ("SQL_DIR", "SPOOL_DIR"):
            assert name in given
        elif one["secret"] and (one["default"] is None or one["name"] == "REDIS_URL"):
            assert name in given
        elif one["secret"]:
            table = (chart.CHART / "templates" / "_settings.tpl").read_text()
            assert f"{one['name']}: " in table, f"the chart cannot give {program} its {name}"


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_setting_is_in_a_table(script, program):
    pages = [tools.ROOT / "README.md", tools.ROOT / program / "README.md"]
    rows = re.findall(r"^\| (`RINGFLEET_\w+`.*?) \| (.*?) \|", "".join(page.read_text() for page in pages), re.MULTILINE)
    tables = {name: default for names, default in rows for name in re.findall(r"RINGFLEET_(\w+)", names)}
    for one in script.settings(chart.bin_directory(), program):
        assert one["name"] in tables, f"no README has RINGFLEET_{one['name']}"
        if re.fullmatch(r"\d+\.\.\d+", one["rule"]):
            assert tables[one["name"]] == f"`{one['default']}`", f"RINGFLEET_{one['name']}"


def test_what_the_chart_takes_for_a_default_is_one(script):
    templates = "".join(page.read_text() for page in (chart.CHART / "templates").glob("*.yaml"))
    defaults = {
        "".join(word.capitalize() for word in one["name"].split("_")): one["default"]
        for program in PROGRAMS
        for one in script.settings(chart.bin_directory(), program)
    }
    taken = re.findall(r"settings\.(\w+) \| default (\d+)", templates)
    assert taken
    for name, default in taken:
        assert defaults[name[0].upper() + name[1:]] == default, name


@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_is_given_that_the_program_does_not_know(script, program):
    known = {one["name"] for one in script.settings(chart.bin_directory(), program)}
    for topology in chart.CI:
        manifests = chart.render(topology.name.removesuffix("-values.yaml"))
        (container,) = chart.pick(manifests, "Deployment", program)["spec"]["template"]["spec"][
            "containers"
        ]
        for name in set(chart.environment(container)) - {"SSL_CERT_FILE"}:  # OpenSSL's
            assert re.sub("^RINGFLEET_|_FILE$", "", name) in known, name
