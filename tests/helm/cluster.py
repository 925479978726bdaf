"""The chart's pods as processes: what the manifests say of command, environment, secrets, probes,
preStop, grace period and policies is what these processes get. No kubelet, no scheduler, no image:
the flow tests' fleet, started the chart's way.
"""

import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from flow import fleet
from flow.servers import end_process

from . import chart
from .network import Network, inside

NOBODY = ("--reuid=65532", "--regid=65532", "--clear-groups", "--no-new-privs", "--bounding-set=-all")


class Pod(fleet.Program):
    """A pod of one container, in a network namespace of its own."""

    def __init__(self, cluster: "Cluster", kind: str, name: str, manifests: list[dict]) -> None:
        super().__init__(kind, name, cluster.directory, {})
        spec = chart.pick(manifests, "Deployment", kind)["spec"]["template"]["spec"]
        (self.container,) = spec["containers"]
        self.grace = spec["terminationGracePeriodSeconds"]
        self.namespace, address = cluster.network.add_pod()
        cluster.network.apply(
            self.namespace, chart.pick(manifests, "NetworkPolicy", kind)["spec"]
        )
        ports = {one["name"]: one["containerPort"] for one in self.container["ports"]}
        self.admin = f"{address}:{ports.pop('admin')}"
        self.listen = f"{address}:{next(iter(ports.values()), 0)}"
        self._env = cluster.environment(spec, name, manifests)
        self.terminating = False
        self.killed = False
        self._end: threading.Thread | None = None

    def start(self) -> None:
        path, *arguments = self.container["command"]
        program = self._log.parent / Path(path).name
        if not program.exists():  # where the pod's user can get at it
            shutil.copy(fleet.bin_directory() / program.name, program)
        command = [*inside(self.namespace), "setpriv", *NOBODY, str(program), *arguments]
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(command, env=self._env, stdout=log, stderr=log, cwd="/")

    def probe(self, name: str) -> bool:
        """Asks a probe of the manifest."""
        page = self.container[name]["httpGet"]
        assert page["port"] == "admin"
        return self.get(page["path"])[0] == 200

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.text()}")
        return self.probe("startupProbe") and self.probe("readinessProbe")

    def terminate(self) -> None:
        """As the kubelet does: preStop, SIGTERM, and SIGKILL when the grace period is over."""
        self.terminating = self.expect_death = True
        self._end = threading.Thread(target=self._terminate)
        self._end.start()

    def _terminate(self) -> None:
        over = time.monotonic() + self.grace
        hook = self.container.get("lifecycle", {}).get("preStop")
        if hook:
            subprocess.run(hook["exec"]["command"], check=True, timeout=self.grace)
        self.killed = not end_process(self.process, seconds=over - time.monotonic())

    def wait_gone(self) -> None:
        self._end.join()

    def stop(self) -> list[str]:
        if self._end is not None:
            self._end.join()
        return super().stop()


class Cluster(fleet.Fleet):
    """A release of the chart in development mode, with the tests' Redis and Postgres in the places of the
    StatefulSets and the AI stand-in somewhere on the internet."""

    network: Network  # given by the test

    def __init__(self, *, ai_url: str, workers: int, **_) -> None:
        self._ai = urlsplit(ai_url)
        self._changes: dict = {}
        self._made_up = chart.pick(self.manifests(), "Secret", "development")["stringData"]
        users = Path(os.environ["RINGFLEET_TEST_ACL"])
        for name, text in self._made_up.items():
            if name.startswith("redis-url-"):
                (users / name).write_text(text)
        # The tests' own connections come in as the default user.
        rules = re.sub("^user default on #[0-9a-f]+", "user default on nopass", self._made_up["users.acl"])
        (users / "users.acl").write_text(rules)
        super().__init__(ai_url=ai_url, workers=workers)
        self.network.relay(self.network.servers["redis"], 6379, self.redis_server.port)
        self.network.relay(self.network.servers["postgres"], 5432, self.postgres.port)
        self.network.relay(self.network.outside, 443, self._ai.port)

    @property
    def directory(self) -> Path:
        return self._directory

    @property
    def worker_settings(self) -> dict:
        url = f"ws://{self.network.outside}:443{self._ai.path}"
        return {"aiUrl": url, "aiPoolSize": 0, "leaseSeconds": 5}

    def manifests(self) -> list[dict]:
        settings = {
            "fleet": {"publicUrl": fleet.PUBLIC_URL, "mediaUrl": fleet.MEDIA_URL},
            "secrets": {
                "values": {
                    "twilio-auth-token": fleet.AUTH_TOKEN,
                    "openai-api-key": fleet.API_KEY,
                    "stream-secret": "a secret of the release",
                }
            },
            "warmer": {"preStopSeconds": 1},
            "worker": {
                "preStopSeconds": 1,
                "drainSeconds": 4,
                "terminationGracePeriodSeconds": 40,
                "settings": self.worker_settings,
            },
            "flusher": {"settings": {"reapGraceMs": 1000}},
            **self._changes,
        }
        return chart.render("development", settings)

    def environment(self, spec: dict, name: str, manifests: list[dict]) -> dict[str, str]:
        """The container's variables, with its secrets in files that its user can read."""
        (container,) = spec["containers"]
        directory = self._directory / f"secrets-{name}"
        directory.mkdir()
        (volume,) = [one for one in spec["volumes"] if one["name"] == "secrets"]
        for source in volume["projected"]["sources"]:
            short = source["secret"]["name"].removeprefix(f"{chart.RELEASE}-ringfleet-")
            secret = chart.pick(manifests, "Secret", short)["stringData"]
            if short == "development":
                secret = self._made_up  # an upgrade finds it in the cluster and keeps it
            for item in source["secret"]["items"]:
                (directory / item["path"]).write_text(self._address(secret[item["key"]], name))
        (mount,) = [one for one in container["volumeMounts"] if one["name"] == "secrets"]
        values = {"metadata.name": name}
        found = {"PATH": os.environ["PATH"]}
        for one in container["env"]:
            value = one.get("value")
            if value is None:
                value = values[one["valueFrom"]["fieldRef"]["fieldPath"]]
            found[one["name"]] = value.replace(mount["mountPath"], str(directory))
        return found

    def _address(self, secret: str, name: str) -> str:
        """Puts addresses in place of the Services' names: there is no DNS here."""
        if secret.startswith("postgresql:"):
            # The tests' Postgres trusts everybody on 127.0.0.1, where the relay comes from.
            local = urlsplit(self.postgres.url(name))
            host = f"ringfleet@{self.network.servers['postgres']}:5432"
            return local._replace(netloc=host).geturl()
        return re.sub(r"@[\w.-]+-redis[\w.-]*:", f"@{self.network.servers['redis']}:", secret)

    def _program(self, kind: str, name: str) -> fleet.Program:
        if name == "migrate":
            return super()._program(kind, name)
        return Pod(self, kind, f"{chart.RELEASE}-ringfleet-{name}", self.manifests())

    def endpoints(self) -> list[Pod]:
        """Worker pods that get new streams."""
        return [pod for pod in self.workers if not pod.terminating and pod.probe("readinessProbe")]

    def upgrade(self, **changes) -> None:
        """Pods that start from now on are of a release with these values."""
        self._changes = changes
