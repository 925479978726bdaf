"""Strict JSON Schemas of every kind the chart renders, from what the projects themselves publish as
Go modules: Kubernetes' OpenAPI document and the CRDs of KEDA, Prometheus and the Gateway API. Unlike
the API server by default, an unknown field is an error.
"""

import json
import re
from functools import cache

import jsonschema
import yaml

from . import tools

_INT_OR_STRING = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
_LOOSE = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _INT_OR_STRING,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"]},
}


class _Loader(yaml.CSafeLoader):
    """Takes a plain `=` for the text it is; YAML 1.1 has a type of its own for it."""


_Loader.add_constructor("tag:yaml.org,2002:value", yaml.CSafeLoader.construct_yaml_str)


def strict(schema: dict) -> dict:
    """The same with no room for unknown fields."""
    if schema.get("x-kubernetes-int-or-string"):
        return _INT_OR_STRING
    result = {
        key: value
        for key, value in schema.items()
        if key in ("type", "enum", "pattern", "minimum", "maximum", "required", "$ref")
        or key in ("minItems", "maxItems", "minLength", "maxLength", "minProperties")
    }
    if "properties" in schema:
        result["properties"] = {key: strict(one) for key, one in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            result["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        result["additionalProperties"] = strict(schema["additionalProperties"])
    if isinstance(schema.get("items"), dict):
        result["items"] = strict(schema["items"])
    return result


@cache
def _kubernetes() -> dict[tuple[str, str], dict]:
    path = tools.module("k8s.io/kubernetes") / "api/openapi-spec/swagger.json"
    raw = json.loads(path.read_text())["definitions"]
    definitions = {name: _LOOSE.get(name) or strict(one) for name, one in raw.items()}
    found = {}
    for name, one in raw.items():
        for kind in one.get("x-kubernetes-group-version-kind", []):
            version = "/".join(filter(None, (kind["group"], kind["version"])))
            root = {"$ref": f"#/definitions/{name}", "definitions": definitions}
            found[version, kind["kind"]] = root
    return found


@cache
def _custom() -> dict[tuple[str, str], dict]:
    keda = tools.module("github.com/kedacore/keda/v2") / "config/crd/bases"
    monitoring = tools.module("github.com/prometheus-operator/prometheus-operator")
    monitoring = monitoring / "example/prometheus-operator-crd"
    gateway = tools.module("sigs.k8s.io/gateway-api") / "config/crd/standard"
    meta = {"type": "object"}
    found = {}
    for file in (
        keda / "keda.sh_scaledobjects.yaml",
        keda / "keda.sh_triggerauthentications.yaml",
        monitoring / "monitoring.coreos.com_servicemonitors.yaml",
        monitoring / "monitoring.coreos.com_prometheusrules.yaml",
        gateway / "gateway.networking.k8s.io_httproutes.yaml",
    ):
        spec = yaml.load(file.read_text(), _Loader)["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"].update({"metadata": meta, "kind": {}, "apiVersion": {}})
            found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


@cache
def _validator(version: str, kind: str) -> jsonschema.Draft7Validator:
    schema = _kubernetes().get((version, kind)) or _custom().get((version, kind))
    assert schema, f"no schema of {version} {kind}"
    return jsonschema.Draft7Validator(schema)


def problems(manifest: dict) -> list[str]:
    """What the API server, asked to be strict, would say."""
    where = f"{manifest.get('kind')} {manifest.get('metadata', {}).get('name')}"
    found = _validator(manifest["apiVersion"], manifest["kind"]).iter_errors(manifest)
    return [
        f"{where}: {'.'.join(map(str, one.absolute_path))}: {one.message[:300]}" for one in found
    ]


@cache
def keda_trigger(kind: str) -> set[str]:
    """The metadata that KEDA's scaler of this kind reads, from the tags of its Go structures."""
    scalers = tools.module("github.com/kedacore/keda/v2") / "pkg" / "scalers"
    # The connection to Redis is described beside the first scaler that had one.
    files = ["redis_streams_scaler.go"] if kind.endswith("-streams") else []
    text = "".join((scalers / name).read_text() for name in [*files, "redis_scaler.go"])
    tags = re.findall(r'keda:"name=([\w;]+), *order=([\w;]+)', text)
    found = {name for names, order in tags if "triggerMetadata" in order for name in names.split(";")}
    assert "databaseIndex" in found
    return found
