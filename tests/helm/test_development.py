"""The small servers of the development mode: their commands and their first rows, tried for real."""

import subprocess

import pytest
import redis

from flow.fleet import Fleet
from flow.ports import free_port
from flow.servers import end_process, eventually

from . import chart


def test_the_redis_command_makes_a_redis_as_the_fleet_asks(tmp_path):
    manifests = chart.render("development")
    secret = chart.pick(manifests, "Secret", "development")["stringData"]
    (tmp_path / "users.acl").write_text(secret["users.acl"])
    pod = chart.pick(manifests, "StatefulSet", "redis")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    port = free_port()
    places = {"--port 6379": f"--port {port}", mounts["data"]: str(tmp_path), mounts["acl"]: str(tmp_path)}
    command = container["command"]
    for place, here in places.items():
        assert any(place in word for word in command)
        command = [word.replace(place, here) for word in command]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=tmp_path)
    try:
        client = redis.Redis(port=port, password=secret["password-admin"], decode_responses=True)

        def answers() -> bool:
            assert process.poll() is None
            try:
                return client.ping()
            except redis.ConnectionError:
                return False

        eventually("redis to answer", answers)
        wanted = {
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            "dir": str(tmp_path),
        }
        assert {name: client.config_get(name)[name] for name in wanted} == wanted
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port).ping()
    finally:
        end_process(process)


@pytest.mark.usefixtures("programs")
def test_the_first_business_can_be_called(tmp_path):
    config = chart.pick(chart.render("development"), "ConfigMap", "postgres-seed")
    seed = tmp_path / "seed.sql"
    seed.write_text(config["data"]["seed.sql"])
    with Fleet(ai_url="ws://127.0.0.1:1", seed=seed) as fleet:
        fleet.sql(seed.read_text())  # an upgrade runs it again
        (row,) = fleet.sql("select * from business join business_settings on business_id = id")
        test = chart.pick(chart.render("development"), "Pod", "test")["spec"]["containers"][0]
        assert row["phone_number"] == chart.environment(test)["CALLED"]
        assert "{{business_name}}" in row["greeting_inbound"]
