"""Every topology in ci/ is linted, rendered, and valid for Kubernetes, KEDA, Prometheus and the Gateway
API; wrong values are refused before anything is rendered."""

import copy

import pytest
import yaml

from . import chart, schemas, tools

TOPOLOGIES = [path.name.removesuffix("-values.yaml") for path in chart.CI]


def test_there_is_a_matrix():
    assert {"development", "minimal", "inline", "keda", "hpa-gateway", "cluster", "sentinel"} <= set(TOPOLOGIES)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_lint(topology):
    values = chart.CHART / "ci" / f"{topology}-values.yaml"
    done = tools.run(tools.program("helm"), "lint", "--strict", str(chart.CHART), "-f", str(values))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_manifests_are_valid(topology):
    manifests = chart.render(topology)
    assert manifests
    assert [problem for one in manifests for problem in schemas.problems(one)] == []


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_no_object_twice(topology):
    manifests = chart.render(topology)
    names = [(one["kind"], one["metadata"]["name"]) for one in manifests]
    assert len(names) == len(set(names)), sorted(names)


def test_the_validation_sees_mistakes():
    """Of each place where the chart's objects come from: the cluster, and three sets of CRDs."""
    keda, gateway = chart.render("keda"), chart.render("hpa-gateway")

    def broken(manifest, path, value):
        manifest = copy.deepcopy(manifest)
        at = manifest
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value
        return schemas.problems(manifest)

    worker = chart.pick(keda, "Deployment", "worker")
    assert broken(worker, ["spec", "replica"], 2)
    assert broken(worker, ["spec", "template", "spec", "containers", 0, "port"], [])
    assert broken(worker, ["spec", "template", "spec", "terminationGracePeriodSeconds"], "600")
    assert broken(chart.pick(keda, "ScaledObject", "worker"), ["spec", "minReplicas"], 2)
    assert broken(chart.pick(keda, "ScaledObject", "worker"), ["spec", "fallback", "behavior"], "x")
    assert broken(chart.pick(keda, "ServiceMonitor", "fleet"), ["spec", "endpoint"], [])
    assert broken(chart.pick(gateway, "HTTPRoute", "worker"), ["spec", "rules", 0, "timeout"], {})


@pytest.mark.parametrize(
    "topology, kind", [("keda", "redis"), ("cluster", "redis-cluster"), ("sentinel", "redis-sentinel")]
)
def test_keda_triggers_have_no_unknown_metadata(topology, kind):
    triggers = [
        trigger
        for one in chart.render(topology)
        if one["kind"] == "ScaledObject"
        for trigger in one["spec"]["triggers"]
    ]
    assert {one["type"] for one in triggers} == {kind, f"{kind}-streams"}
    assert "lagCounts" not in schemas.keda_trigger("redis-streams")
    for trigger in triggers:
        assert set(trigger["metadata"]) <= schemas.keda_trigger(trigger["type"])
        assert all(isinstance(value, str) for value in trigger["metadata"].values())


@pytest.mark.parametrize(
    "topology, ports", [("minimal", [6379]), ("cluster", [6379, 6380]), ("sentinel", [6379, 26379])]
)
def test_the_network_policy_leads_to_all_of_redis(topology, ports):
    for program in ("warmer", "worker", "flusher"):
        policy = chart.pick(chart.render(topology), "NetworkPolicy", program)
        assert [{"port": port, "protocol": "TCP"} for port in ports] in [
            rule["ports"] for rule in policy["spec"]["egress"]
        ]


def test_keda_asks_the_sentinels():
    (trigger,) = chart.pick(chart.render("sentinel"), "ScaledObject", "worker")["spec"]["triggers"]
    assert trigger["metadata"]["addresses"] == "sentinel.example.test:26379"
    assert trigger["metadata"]["sentinelMaster"] == "mymaster"
    assert trigger["metadata"]["databaseIndex"] == "2"
    parameters = {one["parameter"]: one["key"] for one in redis_login("sentinel")["secretTargetRef"]}
    assert parameters["sentinelPassword"] == "redis-sentinel-password-keda"
    assert "sentinelPassword" not in {one["parameter"] for one in redis_login("cluster")["secretTargetRef"]}


def redis_login(topology: str, settings: dict | None = None) -> dict:
    """What KEDA gets besides the trigger's own words."""
    return chart.pick(chart.render(topology, settings), "TriggerAuthentication", "redis")["spec"]


@pytest.mark.parametrize("topology", ["keda", "cluster", "sentinel"])
def test_keda_speaks_tls_where_redis_does(topology):
    for tls in (True, False):
        settings = {"redis": {"tls": tls}, "caConfigMap": "certificates"}
        for one in chart.render(topology, settings):
            for trigger in one["spec"]["triggers"] if one["kind"] == "ScaledObject" else []:
                assert trigger["metadata"].get("enableTLS") == ("true" if tls else None)
                assert set(trigger["metadata"]) <= schemas.keda_trigger(trigger["type"])
        trusted = [{"parameter": "ca", "name": "certificates", "key": "ca.crt"}]
        assert redis_login(topology, settings).get("configMapTargetRef") == (trusted if tls else None)


# ---- wrong values ----

TOOLS = [{"ipBlock": {"cidr": "10.3.0.0/16"}}]


@pytest.mark.parametrize(
    "settings, complaint",
    [
        ({"wroker": {"replicas": 3}}, "wroker"),
        ({"worker": {"replica": 3}}, "replica"),
        ({"worker": {"replicas": 0}}, "replicas"),
        ({"worker": {"settings": {"maxCall": 3}}}, "maxCall"),
        ({"worker": {"settings": {"maxCalls": 0}}}, "maxCalls"),
        ({"worker": {"settings": {"drainSeconds": 5}}}, "drainSeconds"),
        ({"worker": {"autoscaling": {"engine": "both"}}}, "engine"),
        ({"worker": {"autoscaling": {"minReplicas": 0}}}, "minReplicas"),
        ({"flusher": {"autoscaling": {"minReplicas": 0}}}, "minReplicas"),
        ({"worker": {"resources": {"limit": {}}}}, "limit"),
        ({"fleet": {"publicUrl": "http://phone.example.test"}}, "publicUrl"),
        ({"fleet": {"mediaUrl": "wss://media.example.test/"}}, "mediaUrl"),
        ({"fleet": {"partitions": 0}}, "partitions"),
        ({"redis": {"mode": "internal"}}, "mode"),
        ({"redis": {"kind": "clustered"}}, "kind"),
        ({"redis": {"kind": "sentinel"}}, "redis.sentinel.master"),
        ({"redis": {"kind": "cluster", "database": 1}}, "redis.database"),
        ({"redis": {"mode": "development", "kind": "cluster"}}, "redis.kind"),
        ({"redis": {"mode": "development", "tls": True}}, "redis.tls"),
        ({"redis": {"morePorts": [5432]}}, "workers would have a route to Postgres"),
        ({"secrets": {"keys": {"stream-secrets": "x"}}}, "stream-secrets"),
        ({"sql": {"open_call.txt": ""}}, "open_call.txt"),
        ({"networkPolicy": {"toolEgress": [{"to": TOOLS}]}}, "ports"),  # all of them
        ({"networkPolicy": {"toolEgress": [{"ports": [{"port": 8443}]}]}}, "to"),  # anywhere
        ({"networkPolicy": {"toolEgress": [{"ports": [{"port": 8443}], "to": []}]}}, "to"),
        *(
            ({"networkPolicy": {"toolEgress": [{"ports": [port], "to": TOOLS}]}}, "has the port of Postgres")
            for port in ({"port": 5432}, {"port": 5000, "endPort": 6000})
        ),
        # what `flusher migrate` would do to a database of one's own
        ({"sql": {"open_call.sql": "select 1;"}}, "migrate.to: there is SQL of your own"),
        ({"sqlConfigMap": "my-sql"}, "migrate.to: there is SQL of your own"),
        ({"migrate": {"to": 0}}, "migrate.to"),
        ({"migrate": {"to": "latest"}}, "migrate.to"),
        ({"migrate": {"to": 1}, "postgres": {"mode": "development"}}, "businessNumber must be empty"),
        ({"networkPolicy": {"ingressFrom": [{"podselector": {}}]}}, "podselector"),
        # what the schema cannot say
        (
            {"worker": {"terminationGracePeriodSeconds": 579}},
            r"preStopSeconds \(10\) \+ drainSeconds \(540\) \+ 30 to hand calls over = 580",
        ),
        ({"worker": {"drainSeconds": 3600}}, "terminationGracePeriodSeconds is 600"),
        ({"warmer": {"preStopSeconds": 30}}, "warmer.terminationGracePeriodSeconds is 40"),
        ({"flusher": {"terminationGracePeriodSeconds": 29}}, "flusher.terminationGracePeriodSeconds"),
        (
            {"worker": {"autoscaling": {"engine": "hpa", "minReplicas": 9, "maxReplicas": 3}}},
            "minReplicas 9 is above maxReplicas 3",
        ),
        (
            {"worker": {"autoscaling": {"engine": "keda", "callsPerWorker": 500}}},
            r"below worker.settings.maxCalls \(500\)",
        ),
        (
            {"worker": {"autoscaling": {"engine": "hpa", "hpa": {"cpuUtilization": 0}}}},
            "looks at nothing",
        ),
        ({"flusher": {"autoscaling": {"engine": "keda"}}}, "redis.host"),
        ({"worker": {"deletionCost": {"enabled": True}}}, "deletionCost.image"),
        ({"flusher": {"settings": {"recordingStore": "/recordings"}}}, "flusher.recordings.volume"),
        # kubelet evicts a pod whose emptyDir is over its limit, and with it all that was on its way
        (
            {"flusher": {"settings": {"recordingStore": "s3://calls"}, "recordings": {"spoolSize": "3Gi"}}},
            "flusher.recordings.spoolSize is 3Gi",
        ),
        (
            {"flusher": {"settings": {"recordingStore": "s3://calls", "recordingSpoolMb": 6000}}},
            "flusher.recordings.spoolSize is 5Gi",
        ),
        (
            {"flusher": {"settings": {"transcriptionUrl": "https://api.example.test/"}}},
            "needs recordingStore",
        ),
        ({"flusher": {"jobs": {"separate": True}}}, "nothing to do after calls"),
        ({"gateway": {"enabled": True}}, "gateway.parentRefs"),
        ({"postgres": {"port": 443}}, "workers would have a route to Postgres"),
        ({"postgres": {"port": 6379}}, "workers would have a route to Postgres"),
        ({"secrets": {"existingSecret": ""}}, "secrets.values lacks database-url-flusher, "),
        ({"redis": {"mode": "development"}, "fleet": {"partitions": 4}}, "fleet.partitions"),
    ],
)
def test_wrong_values_are_refused(settings, complaint):
    with pytest.raises(chart.Refused, match=complaint):
        chart.render("minimal", settings)


def test_the_grace_period_may_be_exact():
    assert chart.render("minimal", {"worker": {"terminationGracePeriodSeconds": 580}})


def test_defaults_alone_are_refused_with_what_is_missing():
    done = tools.run(tools.program("helm"), "template", str(chart.CHART), "--kube-version", "1.30")
    assert done.returncode != 0
    assert "publicUrl" in done.stderr and "mediaUrl" in done.stderr


def test_every_value_is_in_the_schema():
    """values.yaml has no key the schema does not know, whatever the topology."""
    values = yaml.safe_load((chart.CHART / "values.yaml").read_text())
    assert chart.render("minimal", {**values, **minimal()})


def minimal() -> dict:
    return yaml.safe_load((chart.CHART / "ci" / "minimal-values.yaml").read_text())
