# SPDX-License-Identifier: Apache-2.0
"""JSON schemas of Kubernetes' kinds for kubeconform, made of what modules of the Go module proxy carry, and kept."""

import json
import pathlib
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lab"))

from vlab import cache, golang, kubernetes  # noqa: E402

# Where each is pinned.
KUBERNETES = kubernetes.module()
PROMETHEUS_OPERATOR = ROOT / "tests" / "tools" / "prometheus_operator"
# What of it the chart makes objects of.
PROMETHEUS_CRDS = ("monitoring.coreos.com_podmonitors.yaml", "monitoring.coreos.com_prometheusrules.yaml")
# What kubeconform is told of the names of the files.
PATTERN = "{{ .ResourceKind }}{{ .KindSuffix }}.json"
# Definitions that say less than the API server takes.
LOOSE = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["string", "integer"]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"]},
}


def folder():
    """One file for each kind."""
    return cache.entry("json-schemas", [KUBERNETES, PROMETHEUS_OPERATOR, pathlib.Path(__file__)], _make)


def _make(place):
    swagger = golang.module_folder(KUBERNETES, "k8s.io/kubernetes") / "api" / "openapi-spec" / "swagger.json"
    definitions = json.loads(swagger.read_text(encoding="utf-8"))["definitions"] | LOOSE
    for definition in definitions.values():
        _close(definition)
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            _write(place, kind["kind"], kind["group"], kind["version"],
                   {"$ref": f"#/definitions/{name}", "definitions": _reachable(definitions, name)})
    crds = golang.module_folder(PROMETHEUS_OPERATOR, "github.com/prometheus-operator/prometheus-operator") / "example"
    for name in PROMETHEUS_CRDS:
        spec = yaml.safe_load((crds / "prometheus-operator-crd" / name).read_text(encoding="utf-8"))["spec"]
        for version in spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            schema["properties"]["metadata"] = {"type": "object"}
            _close(schema)
            _write(place, spec["names"]["kind"], spec["group"], version["name"], schema)


def _write(place, kind, group, version, schema):
    name = "-".join([kind.lower(), *([group.split(".")[0]] if group else []), version])
    (place / f"{name}.json").write_text(json.dumps(schema), encoding="utf-8")


def _close(schema):
    """Lets no object have a property that its schema does not name: an unknown field is a typing error."""
    if schema.get("x-kubernetes-int-or-string"):
        schema.pop("type", None)
    properties = schema.get("properties", {})
    if properties and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)
    for inner in (*properties.values(), schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict):
            _close(inner)


def _reachable(definitions, name):
    """`name` and all that it refers to."""
    found, waiting = {}, [name]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = definitions[name]
            waiting += _references(definitions[name])
    return found


def _references(schema):
    if isinstance(schema, list):
        return [name for item in schema for name in _references(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"].removeprefix("#/definitions/")] if isinstance(schema.get("$ref"), str) else []
    return own + [name for item in schema.values() for name in _references(item)]
