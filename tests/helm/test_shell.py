"""The chart's and the image's scripts: shellcheck, and the deletion-cost script against stand-ins."""

import http.server
import os
import stat
import threading

import pytest

from . import chart, tools

SCRIPTS = [
    chart.CHART / "files" / "deletion-cost.sh",
    tools.ROOT / "helm" / "image" / "build-rootfs",
    tools.ROOT / "tests" / "helm" / "install-tools",
    tools.ROOT / "tests" / "setup",
    tools.ROOT / "tests" / "run",
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck(script):
    done = tools.run(tools.program("shellcheck"), str(script))
    assert done.returncode == 0, done.stdout


class Workers:
    """Metrics pages on port 9101 of addresses in 127.0.0.0/8, one for each worker."""

    def __init__(self, calls: dict[str, int]) -> None:
        self._servers = []
        for address, count in calls.items():
            text = f"# HELP x y\nringfleet_calls_active {count}\n".encode()

            class Page(http.server.BaseHTTPRequestHandler):
                body = text

                def do_GET(self):
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(self.body)

                def log_message(self, *_):
                    pass

            server = http.server.ThreadingHTTPServer((address, 9101), Page)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self._servers.append(server)

    def stop(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


@pytest.fixture
def kubectl(tmp_path):
    """A kubectl that lists the pods of a file and notes what it is told to annotate."""
    program = tmp_path / "kubectl"
    program.write_text(
        "#!/bin/sh\n"
        f'case $1 in get) echo "$*" >>{tmp_path}/asked; cat {tmp_path}/pods ;;\n'
        f'annotate) echo "$3 $5" >>{tmp_path}/noted ;; esac\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def test_deletion_cost_is_written_when_it_is_news(kubectl):
    pods = {  # name: address, cost so far, calls
        "new-idle": ("127.77.0.1", "", 0),
        "new-busy": ("127.77.0.2", "", 3),
        "same": ("127.77.0.3", "12", 12),
        "a-little": ("127.77.0.4", "12", 15),
        "much": ("127.77.0.5", "12", 30),
        "fewer": ("127.77.0.6", "30", 12),
        "idle-now": ("127.77.0.7", "2", 0),
    }
    lines = [f"{name} {address} {cost}" for name, (address, cost, _) in pods.items()]
    (kubectl / "pods").write_text("\n".join(["silent 127.77.0.99 4", *lines]) + "\n")
    manifests = chart.render("keda")
    script = chart.pick(manifests, "ConfigMap", "deletion-cost")["data"]["deletion-cost.sh"]
    pod = chart.pick(manifests, "Deployment", "deletion-cost")["spec"]["template"]["spec"]
    environment = chart.environment(pod["containers"][0])
    (kubectl / "script").write_text(script)
    workers = Workers({address: calls for address, _, calls in pods.values()})
    try:
        done = tools.run(
            "/bin/sh",
            str(kubectl / "script"),
            environment={
                **environment,
                "ONCE": "1",
                "PATH": f"{kubectl}:{os.environ['PATH']}",
            },
        )
    finally:
        workers.stop()
    assert done.returncode == 0, done.stderr
    name = "controller.kubernetes.io/pod-deletion-cost="
    noted = (kubectl / "noted").read_text().split("\n")[:-1]
    assert noted == [
        f"new-busy {name}3",
        f"much {name}30",
        f"fewer {name}12",
        f"idle-now {name}0",
    ]
    asked = (kubectl / "asked").read_text()
    assert "app.kubernetes.io/component=worker" in asked


def test_the_selector_is_the_workers():
    manifests = chart.render("keda")
    pod = chart.pick(manifests, "Deployment", "deletion-cost")["spec"]["template"]["spec"]
    selector = dict(
        one.split("=") for one in chart.environment(pod["containers"][0])["SELECTOR"].split(",")
    )
    worker = chart.pick(manifests, "Deployment", "worker")["spec"]["selector"]["matchLabels"]
    assert selector == worker
