"""Renders the chart, and finds things in what came out."""

import json
import os
import shutil
from functools import cache
from pathlib import Path

import yaml

from . import tools

CHART = tools.ROOT / "helm" / "ringfleet"
CI = sorted((CHART / "ci").glob("*-values.yaml"))
KUBERNETES = "1.30.0"
RELEASE = "fleet"


class Refused(Exception):
    """Helm would not render these values."""


@cache
def _render(values: str, settings: str) -> str:
    command = [tools.program("helm"), "template", RELEASE, str(CHART), "-n", "calls"]
    command += ["--kube-version", KUBERNETES, "-f", values, "-f", "-"]
    done = tools.run(*command, input=settings)
    if done.returncode != 0:
        raise Refused(done.stderr)
    return done.stdout


def text(values: str = "minimal", settings: dict | None = None) -> str:
    """The manifests for one of ci/*-values.yaml with `settings` on top."""
    return _render(str(CHART / "ci" / f"{values}-values.yaml"), json.dumps(settings or {}))


def render(values: str = "minimal", settings: dict | None = None) -> list[dict]:
    documents = yaml.load_all(text(values, settings), yaml.CSafeLoader)
    return [one for one in documents if one]


def notes(values: str, directory: Path) -> str:
    """What `helm install` prints at its end. The command itself wants a cluster even for a rehearsal,
    so a copy of the chart in `directory` renders the notes as one more manifest."""
    copy = directory / "ringfleet"
    shutil.copytree(CHART, copy)
    notes_file = copy / "templates" / "NOTES.txt"
    (copy / "templates" / "_notes.tpl").write_text(
        '{{- define "notes" -}}' + notes_file.read_text() + "{{- end -}}"
    )
    notes_file.unlink()
    (copy / "templates" / "notes.yaml").write_text(
        'text: |\n  {{- include "notes" . | nindent 2 }}\n'
    )
    command = [tools.program("helm"), "template", RELEASE, str(copy), "-n", "calls"]
    command += ["--kube-version", KUBERNETES, "--show-only", "templates/notes.yaml"]
    done = tools.run(*command, "-f", str(copy / "ci" / f"{values}-values.yaml"))
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["text"]


def pick(manifests: list[dict], kind: str, name: str) -> dict:
    """The object of this kind called <release>-ringfleet-<name>."""
    full = f"{RELEASE}-ringfleet-{name}"
    (found,) = [
        one for one in manifests if one["kind"] == kind and one["metadata"]["name"] == full
    ]
    return found


def names(manifests: list[dict], kind: str) -> set[str]:
    prefix = f"{RELEASE}-ringfleet-"
    return {
        one["metadata"]["name"].removeprefix(prefix) for one in manifests if one["kind"] == kind
    }


def pod_templates(manifests: list[dict]) -> dict[str, dict]:
    """Pod specs by "<kind> <name>"; each with its labels as `labels`."""
    found = {}
    for one in manifests:
        where = f"{one['kind']} {one['metadata']['name']}"
        if one["kind"] == "Pod":
            found[where] = {**one["spec"], "labels": one["metadata"]["labels"]}
        elif "template" in one.get("spec", {}):
            template = one["spec"]["template"]
            found[where] = {**template["spec"], "labels": template["metadata"]["labels"]}
    return found


def containers(pod: dict) -> list[dict]:
    return pod.get("initContainers", []) + pod["containers"]


def environment(container: dict) -> dict[str, str | None]:
    """By name; None for what is filled in by the cluster."""
    return {one["name"]: one.get("value") for one in container.get("env", [])}


def bin_directory() -> Path:
    return Path(os.environ.get("RINGFLEET_BIN") or tools.ROOT / "build" / "bin").resolve()
