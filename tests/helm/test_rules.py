"""What must hold of the rendered objects, whatever else changes."""

import re
from ipaddress import ip_network

import pytest

from flow.flusher_rig import FlusherRig

from . import chart, schemas, tools

PROGRAMS = ("warmer", "worker", "flusher")
TOPOLOGIES = [path.name.removesuffix("-values.yaml") for path in chart.CI]
COMPONENT = "app.kubernetes.io/component"
every_topology = pytest.mark.parametrize("topology", TOPOLOGIES)


def deployment(program: str, values: str = "minimal", settings: dict | None = None) -> dict:
    return chart.pick(chart.render(values, settings), "Deployment", program)["spec"]


def container(program: str, values: str = "minimal", settings: dict | None = None) -> dict:
    (found,) = deployment(program, values, settings)["template"]["spec"]["containers"]
    return found


# ---- security ----


@every_topology
def test_every_pod_meets_the_restricted_profile(topology):
    pods = chart.pod_templates(chart.render(topology))
    assert len(pods) >= 4
    for where, pod in pods.items():
        context = pod["securityContext"]
        assert context["runAsNonRoot"] and context["runAsUser"] > 0, where
        assert context["seccompProfile"]["type"] == "RuntimeDefault", where
        for one in chart.containers(pod):
            security = one["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, where
            assert security["capabilities"] == {"drop": ["ALL"]}, where
            assert security["readOnlyRootFilesystem"] is True, where
            assert one["resources"]["limits"]["memory"] and one["resources"]["requests"], where
        kinds = {kind for volume in pod.get("volumes", []) for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}, where
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), where


@every_topology
def test_only_the_deletion_cost_pod_may_ask_the_api(topology):
    manifests = chart.render(topology)
    for where, pod in chart.pod_templates(manifests).items():
        wanted = pod["labels"][COMPONENT] == "deletion-cost"
        assert pod["automountServiceAccountToken"] is wanted, where
        assert pod["enableServiceLinks"] is False, where
    for role in (one for one in manifests if one["kind"] == "Role"):
        assert role["rules"] == [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "patch"]}
        ]


def test_a_program_sees_its_own_secrets_only():
    sees = {}
    for program in PROGRAMS:
        pod = deployment(program)["template"]["spec"]
        (volume,) = [one for one in pod["volumes"] if one["name"] == "secrets"]
        items = [source["secret"] for source in volume["projected"]["sources"]]
        assert {one["name"] for one in items} == {"ringfleet"}
        sees[program] = {item["key"] for one in items for item in one["items"]}
    assert "database-url-warmer" in sees["warmer"]
    assert not [key for key in sees["worker"] if key.startswith("database")]
    assert "twilio-auth-token" not in sees["worker"] | sees["flusher"]
    assert "openai-api-key" not in sees["warmer"]
    shared = sees["warmer"] & sees["worker"] | sees["worker"] & sees["flusher"]
    assert shared <= {"stream-secret", "openai-api-key", "api-key"}


def test_no_secret_is_in_an_environment():
    for topology in TOPOLOGIES:
        for pod in chart.pod_templates(chart.render(topology)).values():
            for one in chart.containers(pod):
                for name, value in chart.environment(one).items():
                    if re.search(r"SECRET|TOKEN|PASSWORD|KEY$|DATABASE_URL|REDIS_URL", name):
                        assert name.endswith("_FILE"), name
                        assert value.startswith("/run/secrets/"), name


def test_the_worker_finds_the_ai_in_both_address_families():
    """And in none of them inside the cluster."""
    policy = chart.pick(chart.render("keda"), "NetworkPolicy", "worker")["spec"]
    (peers,) = [rule["to"] for rule in policy["egress"] if [one["port"] for one in rule["ports"]] == [443]]
    blocks = {peer["ipBlock"]["cidr"]: peer["ipBlock"]["except"] for peer in peers}
    assert set(blocks) == {"0.0.0.0/0", "::/0"}
    for everywhere, kept_out in blocks.items():
        assert all(ip_network(one).subnet_of(ip_network(everywhere)) for one in kept_out)
    assert "10.0.0.0/8" in blocks["0.0.0.0/0"] and "fc00::/7" in blocks["::/0"]


def test_the_worker_has_no_route_to_postgres():
    """Iron rule 1 as network law: in every topology, whatever may be reached on Postgres' port, and
    the Postgres pods, are out of the worker's reach."""
    for topology in set(TOPOLOGIES) - {"hpa-gateway"}:
        manifests = chart.render(topology)
        policies = {
            name: chart.pick(manifests, "NetworkPolicy", name)["spec"]
            for name in chart.names(manifests, "NetworkPolicy")
        }
        worker = policies["worker"]
        assert set(worker["policyTypes"]) == {"Ingress", "Egress"}
        for rule in worker["egress"]:
            ports = {one["port"] for one in rule["ports"]}  # a rule without ports would open all
            assert ports in ({53}, {443}) or ports <= {6379, 6380, 26379}  # a cluster's, or the Sentinels' too
            for peer in rule.get("to", []):
                labels = peer.get("podSelector", {}).get("matchLabels", {COMPONENT: "elsewhere"})
                assert labels[COMPONENT] in ("redis", "elsewhere")
        for program in ("warmer", "flusher", "migrate"):
            reached = {one["port"] for rule in policies[program]["egress"] for one in rule["ports"]}
            dials = (program, topology) == ("warmer", "keda")
            assert 5432 in reached and (443 in reached) is dials
        if topology == "development":
            (rule,) = policies["postgres"]["ingress"]
            allowed = {one["podSelector"]["matchLabels"][COMPONENT] for one in rule["from"]}
            assert allowed == {"warmer", "flusher", "migrate"}


def test_a_worker_reaches_the_tools_that_are_named():
    rule = {"ports": [{"port": 8443, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "10.3.0.0/16"}}]}
    manifests = chart.render("minimal", {"networkPolicy": {"toolEgress": [rule]}})
    for program in (*PROGRAMS, "migrate"):
        policy = chart.pick(manifests, "NetworkPolicy", program)
        assert (rule in policy["spec"]["egress"]) is (program == "worker")
        assert schemas.problems(policy) == []


def test_policies_select_the_pods_there_are():
    manifests = chart.render("development")
    labels = [pod["labels"] for pod in chart.pod_templates(manifests).values()]
    for name in chart.names(manifests, "NetworkPolicy"):
        spec = chart.pick(manifests, "NetworkPolicy", name)["spec"]
        wanted = spec["podSelector"]["matchLabels"].items()
        assert [one for one in labels if wanted <= one.items()], name


# ---- staying up ----


def test_probes_ask_the_admin_port():
    for program, port in zip(PROGRAMS, (9100, 9101, 9102)):
        one = container(program)
        assert {"name": "admin", "containerPort": port} in one["ports"]
        paths = {
            probe: one[probe]["httpGet"]
            for probe in ("startupProbe", "livenessProbe", "readinessProbe")
        }
        assert paths["livenessProbe"] == {"path": "/healthz", "port": "admin"}
        assert paths["readinessProbe"] == {"path": "/readyz", "port": "admin"}
        assert chart.environment(one)["RINGFLEET_ADMIN_LISTEN"] == f"0.0.0.0:{port}"


def test_pods_may_have_ipv6_addresses_only():
    for program, ports in zip(PROGRAMS, ({8080, 8082, 9100}, {8081, 9101}, {9102})):
        one = container(program, settings={"fleet": {"listenOn": "[::]"}})
        listens = {value for name, value in chart.environment(one).items() if name.endswith("LISTEN")}
        assert listens == {f"[::]:{port}" for port in ports}


def test_services_lead_to_ports_that_exist():
    for topology in TOPOLOGIES:
        manifests = chart.render(topology)
        pods = chart.pod_templates(manifests).values()
        for service in (one for one in manifests if one["kind"] == "Service"):
            selector = service["spec"]["selector"].items()
            (pod,) = [one for one in pods if selector <= one["labels"].items()]
            ports = {port["name"] for one in pod["containers"] for port in one.get("ports", [])}
            assert {one["targetPort"] for one in service["spec"]["ports"]} <= ports


def test_rollouts_keep_every_worker_until_a_new_one_is_there():
    strategy = deployment("worker")["strategy"]["rollingUpdate"]
    assert strategy == {"maxUnavailable": 0, "maxSurge": "25%"}


def test_the_grace_period_covers_the_drain():
    for topology in TOPOLOGIES:
        pod = deployment("worker", topology)["template"]["spec"]
        (one,) = pod["containers"]
        wait = int(one["lifecycle"]["preStop"]["exec"]["command"][1])
        drain = int(chart.environment(one)["RINGFLEET_DRAIN_SECONDS"])
        assert wait + drain + 30 <= pod["terminationGracePeriodSeconds"] <= 600


@pytest.mark.parametrize("asked, said", [({}, "true"), ({"safeToEvict": False}, "false")])
def test_a_cluster_autoscaler_is_told_whether_it_may_remove_a_worker_s_node(asked, said):
    """In words: an annotation that is no text is refused with its whole pod."""
    annotations = deployment("worker", "minimal", {"worker": asked})["template"]["metadata"]["annotations"]
    assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == said


def test_a_flusher_is_not_killed_before_it_ends_itself():
    (limit,) = re.findall(r"stop_limit = {(\d+), 0}", (tools.ROOT / "flusher" / "main.c").read_text())
    least = int(limit) + 5
    least_grace = {"flusher": {"terminationGracePeriodSeconds": least}}
    assert deployment("flusher", "minimal", least_grace)["template"]["spec"]["terminationGracePeriodSeconds"] == least
    with pytest.raises(chart.Refused):
        chart.render("minimal", {"flusher": {"terminationGracePeriodSeconds": least - 1}})


@every_topology
def test_disruption_budgets_never_block_a_drain(topology):
    manifests = chart.render(topology)
    assert chart.names(manifests, "PodDisruptionBudget") == set(PROGRAMS)
    for program in PROGRAMS:
        spec = chart.pick(manifests, "PodDisruptionBudget", program)["spec"]
        assert spec["maxUnavailable"] == 1 and "minAvailable" not in spec
        deployment_spec = chart.pick(manifests, "Deployment", program)["spec"]
        assert spec["selector"] == deployment_spec["selector"]


def test_spread_over_nodes_and_zones():
    for program in PROGRAMS:
        spec = deployment(program)["template"]["spec"]
        keys = [one["topologyKey"] for one in spec["topologySpreadConstraints"]]
        assert keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]


# ---- autoscaling ----


@pytest.mark.parametrize("engine", ["none", "keda", "hpa"])
def test_one_autoscaler_at_most_owns_a_deployment(engine):
    settings = {
        "redis": {"host": "redis.example.test"},
        "worker": {"replicas": 7, "autoscaling": {"engine": engine}},
        "flusher": {"replicas": 7, "autoscaling": {"engine": engine}},
    }
    manifests = chart.render("minimal", settings)
    for program in ("worker", "flusher"):
        owners = [
            one["kind"]
            for one in manifests
            if one["kind"] in ("ScaledObject", "HorizontalPodAutoscaler")
            and one["spec"]["scaleTargetRef"]["name"] == f"{chart.RELEASE}-ringfleet-{program}"
        ]
        kinds = {"none": [], "keda": ["ScaledObject"], "hpa": ["HorizontalPodAutoscaler"]}
        assert owners == kinds[engine]
        # An upgrade must not reset what an autoscaler has decided.
        replicas = chart.pick(manifests, "Deployment", program)["spec"].get("replicas")
        assert replicas == (7 if engine == "none" else None)


def test_calls_are_counted_in_every_partition_with_a_buffer():
    spec = chart.pick(chart.render("keda"), "ScaledObject", "worker")["spec"]
    lists = [one["metadata"]["listName"] for one in spec["triggers"]]
    assert lists == [f"rf:{{p{n}}}:live" for n in range(4)]
    modifiers = spec["advanced"]["scalingModifiers"]
    assert modifiers["formula"] == "calls0 + calls1 + calls2 + calls3 + 50"
    assert modifiers["metricType"] == "AverageValue" and modifiers["target"] == "100"
    assert [one["name"] for one in spec["triggers"]] == [f"calls{n}" for n in range(4)]


def test_redis_away_never_scales_in():
    manifests = chart.render("keda")
    for program in ("worker", "flusher"):
        spec = chart.pick(manifests, "ScaledObject", program)["spec"]
        assert spec["minReplicaCount"] >= 2 and "idleReplicaCount" not in spec
        assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
        assert spec["fallback"]["replicas"] == spec["minReplicaCount"]
        # KEDA falls back only on average values, and on a formula with a whole target.
        assert {one["metricType"] for one in spec["triggers"]} == {"AverageValue"}
        assert int(spec["advanced"]["scalingModifiers"]["target"]) > 0


def test_workers_come_at_once_and_go_slowly():
    keda = chart.pick(chart.render("keda"), "ScaledObject", "worker")["spec"]
    hpa = chart.pick(chart.render("hpa-gateway"), "HorizontalPodAutoscaler", "worker")["spec"]
    behavior = keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior == hpa["behavior"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 300
    assert behavior["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]


def test_backlog_is_the_length_of_the_index():
    """Entries are removed once flushed; the lag Redis itself reports is unknown after that."""
    spec = chart.pick(chart.render("keda"), "ScaledObject", "flusher")["spec"]
    for n, trigger in enumerate(spec["triggers"]):
        assert trigger["metadata"]["stream"] == f"rf:{{p{n}}}:ended"
        assert "consumerGroup" not in trigger["metadata"]


# ---- the way in ----


def test_media_and_webhooks_on_one_host_or_two():
    for values, hosts in (("keda", ("phone", "phone")), ("hpa-gateway", ("phone", "media"))):
        manifests = chart.render(values)
        for program, host, path in zip(("warmer", "worker"), hosts, ("/", "/media")):
            if values == "keda":
                spec = chart.pick(manifests, "Ingress", program)["spec"]
                (rule,) = spec["rules"]
                *_, way = rule["http"]["paths"]
                found = rule["host"], way["path"], way["backend"]["service"]["name"]
                assert spec["tls"][0]["hosts"] == [rule["host"]]
            else:
                spec = chart.pick(manifests, "HTTPRoute", program)["spec"]
                *_, rule = spec["rules"]
                (match,), (backend,) = rule["matches"], rule["backendRefs"]
                found = spec["hostnames"][0], match["path"]["value"], backend["name"]
            service = f"{chart.RELEASE}-ringfleet-{program}"
            assert found == (f"{host}.example.test", path, service)


def test_sockets_may_live_as_long_as_calls():
    ingress = chart.pick(chart.render("keda"), "Ingress", "worker")["metadata"]["annotations"]
    for direction in ("read", "send"):
        assert int(ingress[f"nginx.ingress.kubernetes.io/proxy-{direction}-timeout"]) >= 3600
    webhook = chart.pick(chart.render("keda"), "Ingress", "warmer")["metadata"]["annotations"]
    assert webhook == {"example.test/a": "b"} and ingress["example.test/a"] == "b"
    routes = chart.render("hpa-gateway")
    timeouts = chart.pick(routes, "HTTPRoute", "worker")["spec"]["rules"][0]["timeouts"]
    assert timeouts == {"request": "0s"}


# ---- the rest ----


def test_migration_runs_before_the_pods_where_it_can():
    hooked = chart.pick(chart.render("minimal"), "Job", "migrate")
    assert hooked["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    pod = hooked["spec"]["template"]["spec"]
    # Before the install nothing else of the release is there.
    assert "serviceAccountName" not in pod
    names = {
        source["secret"]["name"] for source in pod["volumes"][0]["projected"]["sources"]
    }
    assert names == {"ringfleet"} and hooked["spec"]["backoffLimit"] == 0
    for topology in ("development", "inline"):
        job = chart.pick(chart.render(topology), "Job", "migrate-1")
        assert "annotations" not in job["metadata"] and job["spec"]["backoffLimit"] > 0
    assert not chart.names(chart.render("minimal", {"migrate": {"enabled": False}}), "Job")


def migration(settings: dict) -> list[str]:
    """The command of the Job."""
    (pod,) = [
        pod for pod in chart.pod_templates(chart.render("minimal", settings)).values()
        if pod["labels"][COMPONENT] == "migrate"
    ]  # fmt: skip
    return pod["containers"][0]["command"]


def test_a_schema_of_ones_own_gets_what_is_asked_for():
    own = {"sqlConfigMap": "my-sql"}
    assert migration({}) == migration({**own, "migrate": {"to": "newest"}}) == ["/usr/bin/flusher", "migrate"]
    assert migration({**own, "migrate": {"to": 1}}) == ["/usr/bin/flusher", "migrate", "--to", "1"]
    assert not chart.names(chart.render("minimal", {**own, "migrate": {"enabled": False}}), "Job")


@pytest.mark.usefixtures("programs")
def test_the_ledger_alone_is_what_a_schema_of_ones_own_needs():
    """The Job's words on a database that is not ours, and what the page on SQL adds by hand."""
    _, *words = migration({"sqlConfigMap": "my-sql", "migrate": {"to": 1}})
    with FlusherRig() as rig:

        def tables() -> set[str]:
            rows = rig.postgres.sql("select tablename from pg_tables where schemaname = 'public'")
            return {row["tablename"] for row in rows} - {"schema_migration"}

        done = rig.command(*words)
        assert done.returncode == 0, done.stderr
        assert tables() == {"call_flush", "call_replay"}
        rig.postgres.sql((tools.ROOT / "flusher/sql/migrations/0006_after_call_job.sql").read_text())
        # An upgrade runs the Job again, and takes nothing away.
        done = rig.command(*words)
        assert done.returncode == 0, done.stderr
        assert tables() == {"call_flush", "call_replay", "after_call_job"}


def test_development_servers_only_when_asked_for():
    assert chart.names(chart.render("minimal"), "StatefulSet") == set()
    manifests = chart.render("development")
    assert chart.names(manifests, "StatefulSet") == {"redis", "postgres"}
    secret = chart.pick(manifests, "Secret", "development")["stringData"]
    url = secret["redis-url-worker"]
    assert url.startswith("redis://ringfleet-worker:") and url.endswith(
        "@fleet-ringfleet-redis.calls.svc:6379/0"
    )
    assert secret["stream-secret"] and secret["twilio-auth-token"]


def test_settings_become_environment():
    settings = {
        "worker": {"settings": {"maxCalls": 20000, "aiUrl": "wss://ai.example.test/v1"}},
        "flusher": {"settings": {"finalWaitSeconds": 31536000}},
    }
    worker = chart.environment(container("worker", "minimal", settings))
    assert worker["RINGFLEET_MAX_CALLS"] == "20000"
    assert worker["RINGFLEET_AI_URL"] == "wss://ai.example.test/v1"
    flusher = chart.environment(container("flusher", "minimal", settings))
    assert flusher["RINGFLEET_FINAL_WAIT_SECONDS"] == "31536000"


def test_sql_of_ones_own_is_mounted_where_it_is_looked_for():
    for topology, name in (("inline", "fleet-ringfleet-sql"), ("hpa-gateway", "my-sql")):
        for program in ("warmer", "flusher"):
            pod = deployment(program, topology)["template"]["spec"]
            (one,) = pod["containers"]
            (mount,) = [mount for mount in one["volumeMounts"] if mount["name"] == "sql"]
            assert chart.environment(one)["RINGFLEET_SQL_DIR"] == mount["mountPath"]
            assert {"name": "sql", "configMap": {"name": name}} in pod["volumes"]
        assert "RINGFLEET_SQL_DIR" not in chart.environment(container("worker", topology))


def test_certificates_of_ones_own_are_trusted_by_all_programs():
    manifests = chart.render("sentinel")
    pods = {pod["labels"][COMPONENT]: pod for pod in chart.pod_templates(manifests).values()}
    for program in (*PROGRAMS, "migrate"):
        (one,) = pods[program]["containers"]
        (mount,) = [mount for mount in one["volumeMounts"] if mount["name"] == "certificates"]
        (volume,) = [volume for volume in pods[program]["volumes"] if volume["name"] == "certificates"]
        assert mount["readOnly"] and volume["configMap"]["name"] == "certificates"
        (item,) = volume["configMap"]["items"]
        assert chart.environment(one)["SSL_CERT_FILE"] == f"{mount['mountPath']}/{item['path']}"
    assert "SSL_CERT_FILE" not in chart.environment(container("worker"))


# ---- what is done after calls ----

AFTER_CALLS = {
    "secrets": {"optional": ["transcription-key", "after-call-secret"]},
    "flusher": {
        "settings": {
            "recordingStore": "s3://calls/recordings",
            "transcriptionUrl": "https://api.example.test/v1/audio/transcriptions",
            "afterCallHook": 1,
            "afterCallUrl": "https://shop.example.test/calls",
        }
    },
}
SEPARATE = {**AFTER_CALLS, "flusher": {**AFTER_CALLS["flusher"], "jobs": {"separate": True}}}


def reached(manifests: list[dict], program: str) -> set[int]:
    policy = chart.pick(manifests, "NetworkPolicy", program)["spec"]
    return {one["port"] for rule in policy["egress"] for one in rule["ports"]}


def given_secrets(pod: dict) -> set[str]:
    (volume,) = [one for one in pod["volumes"] if one["name"] == "secrets"]
    return {
        item["key"] for one in volume["projected"]["sources"] for item in one["secret"]["items"]
    }


def test_the_flushers_do_what_is_done_after_calls():
    manifests = chart.render("minimal", AFTER_CALLS)
    pod = chart.pick(manifests, "Deployment", "flusher")["spec"]["template"]["spec"]
    (one,) = pod["containers"]
    environment = chart.environment(one)
    assert environment["RINGFLEET_JOBS"] == "here"
    spool = {"name": "recordings", "mountPath": environment["RINGFLEET_RECORDING_SPOOL"]}
    assert spool in one["volumeMounts"]
    assert {"name": "recordings", "emptyDir": {"sizeLimit": "5Gi"}} in pod["volumes"]
    assert given_secrets(pod) == {
        "redis-url-flusher", "database-url-flusher", "twilio-auth-token", "s3-access-key",
        "s3-secret-key", "transcription-key", "after-call-secret",
    }  # fmt: skip
    assert 443 in reached(manifests, "flusher") and 443 not in reached(manifests, "warmer")
    assert "jobs" not in chart.names(manifests, "Deployment")


def test_a_deployment_of_its_own_does_what_is_done_after_calls():
    manifests = chart.render("minimal", SEPARATE)
    pod = chart.pick(manifests, "Deployment", "jobs")["spec"]["template"]["spec"]
    (one,) = pod["containers"]
    assert one["command"] == ["/usr/bin/flusher", "jobs"]
    for program in ("flusher", "jobs"):
        assert chart.environment(container(program, "minimal", SEPARATE))["RINGFLEET_JOBS"] == "elsewhere"
    assert "redis-url-flusher" not in given_secrets(pod)
    assert pod["serviceAccountName"] in [
        one["metadata"]["name"] for one in manifests if one["kind"] == "ServiceAccount"
    ]
    assert 443 in reached(manifests, "jobs") and 6379 not in reached(manifests, "jobs")
    assert 443 not in reached(manifests, "flusher")
    chart.pick(manifests, "Service", "jobs-admin")


def test_a_spool_where_there_is_a_volume_for_it():
    assert "RINGFLEET_SPOOL_DIR" not in chart.environment(container("worker", "minimal"))
    volume = {"emptyDir": {"sizeLimit": "1Gi"}}
    pod = deployment("worker", "minimal", {"worker": {"spoolVolume": volume}})["template"]["spec"]
    (one,) = pod["containers"]
    assert {"name": "spool", **volume} in pod["volumes"]
    assert {"name": "spool", "mountPath": "/var/spool/ringfleet"} in one["volumeMounts"]
    assert chart.environment(one)["RINGFLEET_SPOOL_DIR"].startswith("/var/spool/ringfleet/")


def test_recordings_on_a_volume():
    claim = {"persistentVolumeClaim": {"claimName": "recordings"}}
    settings = {"flusher": {"settings": {"recordingStore": "/recordings"}, "recordings": {"volume": claim}}}
    pod = deployment("flusher", "minimal", settings)["template"]["spec"]
    assert {"name": "recordings", **claim} in pod["volumes"]
    assert {"name": "recordings", "mountPath": "/recordings"} in pod["containers"][0]["volumeMounts"]


def test_a_changed_config_rolls_the_pods():
    def checksum(settings: dict) -> str:
        template = deployment("flusher", "inline", settings)["template"]
        return template["metadata"]["annotations"]["checksum/config"]

    assert checksum({}) != checksum({"sql": {"open_call.sql": "select 2;"}})


def test_the_digest_wins_over_the_tag():
    assert container("worker", "hpa-gateway")["image"] == "example/ringfleet@sha256:" + "0" * 64
    assert container("worker")["image"] == "ringfleet:0.1.0"


def test_notes_tell_the_next_step(tmp_path):
    text = chart.notes("development", tmp_path)
    assert "helm -n calls test fleet" in text
    assert "https://phone.example.test/voice/incoming" in text
    assert "a development Redis and a development Postgres" in text
    assert "Nothing leads to it from outside yet" in text


def test_optional_secrets_are_given_when_there():
    """Their keys are named by the values; a key of a provider that is not used is not asked for."""
    environment = chart.environment(container("worker", "hpa-gateway"))
    assert "RINGFLEET_ELEVENLABS_API_KEY_FILE" in environment
    assert "RINGFLEET_OPENAI_API_KEY_FILE" not in environment
    assert "RINGFLEET_API_KEY_FILE" in chart.environment(container("warmer", "hpa-gateway"))
    assert "RINGFLEET_API_KEY_FILE" not in chart.environment(container("warmer"))
    settings = {"secrets": {"values": {"api-key": "x"}}}
    assert "RINGFLEET_API_KEY_FILE" in chart.environment(container("warmer", "inline", settings))


def test_reports_of_conversations_have_a_way_in():
    """Only where their secret is there: port, service, route, policy, and room for recordings."""
    ports = {one["name"]: one["containerPort"] for one in container("warmer", "hpa-gateway")["ports"]}
    assert ports["reports"] == 8082 and "reports" not in {one["name"] for one in container("warmer")["ports"]}
    route = chart.pick(chart.render("hpa-gateway"), "HTTPRoute", "warmer")["spec"]["rules"][0]
    assert route["matches"][0]["path"] == {"type": "Exact", "value": "/webhooks/elevenlabs/post-call"}
    assert route["backendRefs"][0]["port"] == 8082
    (rule,) = chart.pick(chart.render("keda"), "Ingress", "warmer")["spec"]["rules"]
    assert rule["http"]["paths"][0]["backend"]["service"]["port"] == {"name": "reports"}
    policy = chart.pick(chart.render("keda"), "NetworkPolicy", "warmer")["spec"]
    assert 8082 in {one["port"] for one in policy["ingress"][0]["ports"]}
    mounts = {one["mountPath"] for one in container("warmer", "hpa-gateway")["volumeMounts"]}
    assert "/audio" in mounts


def test_a_warmer_that_dials_may_reach_the_providers():
    def ports(topology: str) -> set[int]:
        policy = chart.pick(chart.render(topology), "NetworkPolicy", "warmer")["spec"]
        return {one["port"] for rule in policy["egress"] for one in rule["ports"]}

    assert 443 in ports("keda") and 443 not in ports("minimal")
