"""The image's root filesystem, assembled without a container engine and entered by chroot as the
user it runs as."""

import os
import re
import stat
from pathlib import Path

import pytest

from . import chart, tools

IMAGE = tools.ROOT / "helm" / "image"
USER = "65532:65532"
PROGRAMS = ("warmer", "worker", "flusher")

pytestmark = pytest.mark.usefixtures("programs")


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("image")
    directory.parent.chmod(0o755)
    directory.chmod(0o755)
    root = directory / "rootfs"
    done = tools.run(str(IMAGE / "build-rootfs"), str(chart.bin_directory()), str(root))
    assert done.returncode == 0, done.stderr
    return root


def enter(rootfs: Path, *command: str):
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    return tools.run("chroot", f"--userspec={USER}", str(rootfs), *command)


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_run_as_nobody_in_particular(rootfs, program):
    done = enter(rootfs, f"/usr/bin/{program}", "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: {program} ")


def test_prestop_can_sleep(rootfs):
    manifests = chart.render("minimal")
    for program in ("warmer", "worker"):
        pod = chart.pick(manifests, "Deployment", program)["spec"]["template"]["spec"]
        command, seconds = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        assert int(seconds) > 0
        assert enter(rootfs, command, "0.01").returncode == 0


def test_every_command_of_the_chart_is_in_the_image(rootfs):
    for topology in chart.CI:
        for pod in chart.pod_templates(
            chart.render(topology.name.removesuffix("-values.yaml"))
        ).values():
            for one in chart.containers(pod):
                if "ringfleet:" in one["image"] or "ringfleet@" in one["image"]:
                    assert (rootfs / one["command"][0].lstrip("/")).exists()


def test_commands_that_the_pages_run_in_a_pod_are_there(rootfs, tmp_path):
    """In the container of a Deployment that the chart makes, by a name that the image's PATH leads to."""
    pages = [(tools.ROOT / "README.md").read_text(), (chart.CHART / "README.md").read_text()]
    pages.append(chart.notes("inline", tmp_path))
    found = [re.findall(r"kubectl (?:-n \S+ )?exec deploy/fleet-ringfleet-(\w+) -- (\w+)", page) for page in pages]
    assert [len(one) for one in found] == [1, 3, 3]
    deployments = chart.names(chart.render("minimal"), "Deployment")
    for deployment, program in {one for page in found for one in page}:
        assert deployment == program and deployment in deployments
        assert (rootfs / "usr/bin" / program).exists()


def test_there_is_nothing_to_break_in_with(rootfs):
    names = {path.name for path in (rootfs / "usr/bin").iterdir()}
    assert names == {*PROGRAMS, "sleep"}
    for path in rootfs.rglob("*"):
        mode = path.lstat().st_mode
        assert not mode & (stat.S_ISUID | stat.S_ISGID), path
        if not stat.S_ISLNK(mode) and path != rootfs / "tmp":
            assert not mode & stat.S_IWOTH, path


def test_the_worker_cannot_link_a_database_even_here(rootfs):
    """libpq is in the image for the others; the worker does not name it."""
    done = tools.run("readelf", "-d", str(rootfs / "usr/bin/worker"))
    assert "libssl" in done.stdout and "libpq" not in done.stdout


def test_it_is_small_and_says_what_is_inside(rootfs):
    size = sum(path.lstat().st_size for path in rootfs.rglob("*") if not path.is_dir())
    assert size < 60 * 1024 * 1024
    packages = {path.name for path in (rootfs / "var/lib/dpkg/status.d").iterdir()}
    assert {"libc6", "libssl3", "tzdata"} <= {re.sub("t64$", "", name) for name in packages}
    for name in packages:
        assert (rootfs / "usr/share/doc" / name / "copyright").exists(), name


def test_certificates_are_debians_own(rootfs):
    bundle = (rootfs / "etc/ssl/certs/ca-certificates.crt").read_text()
    debian = list(Path("/usr/share/ca-certificates/mozilla").glob("*.crt"))
    assert bundle.count("BEGIN CERTIFICATE") == len(debian) > 100


def test_the_dockerfile_makes_the_same_image():
    text = (IMAGE / "Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert stages == ["debian:${DEBIAN}-slim", "scratch"]
    assert f"USER {USER}" in text and "ENV PATH=/usr/bin\n" in text
    assert "ARG DEBIAN=trixie\n" in text  # the first whose hiredis speaks TLS
    user = chart.pick(chart.render("minimal"), "Deployment", "worker")["spec"]["template"]["spec"][
        "securityContext"
    ]
    assert USER == f"{user['runAsUser']}:{user['runAsGroup']}"
    for path in re.findall(r"^COPY (?!--from)(\S+)", text, re.MULTILINE):
        assert (tools.ROOT / path).exists()
    assert "helm/image/build-rootfs build/bin /rootfs" in text
