# SPDX-License-Identifier: Apache-2.0
"""Which values the chart takes, and which ones it refuses with their name and the reason."""

import json
import re

import pytest
import yaml

from rendering import ALONE, BIND, BINDING, ROOT, SCHEMA, VALUES, manifests, objects


def resolved(schema):
    return SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


def bad_leaves(schema):
    """Values that a schema of no object and no array must refuse."""
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    yield [] if types else {"of": "another type"}
    if "boolean" in types:
        yield "true"
    if "integer" in types and "string" not in types:
        yield "seven"
    if "string" in types:
        yield True
    if "enum" in schema or "const" in schema:
        yield "nonsense"
    if "pattern" in schema:
        yield "no such\tthing"
    if "minimum" in schema:
        yield schema["minimum"] - 1
    if "maximum" in schema:
        yield schema["maximum"] + 1
    if "maxLength" in schema:
        yield "x" * (schema["maxLength"] + 1)
    if "minLength" in schema:
        yield ""


def bad(schema, number, place=""):
    """The bad value of that number in each place that has as many, and the places."""
    schema = resolved(schema)
    if schema.get("type") == "array":
        inner, places = bad(schema["items"], number - 1, f"{place}/0") if number else ("no list", [place])
        return ([inner] if places and number else inner), places
    if schema.get("type") != "object":
        leaves = list(bad_leaves(schema))
        return (leaves[number], [place]) if number < len(leaves) else (None, [])
    made, places = {}, []
    for name, inner in schema.get("properties", {}).items():
        value, found = bad(inner, number, f"{place}/{name}")
        if found:
            made[name] = value
            places += found
    if isinstance(schema.get("additionalProperties"), dict):
        value, found = bad(schema["additionalProperties"], number, f"{place}/key")
        if found:
            made["key"] = value
            places += found
    return made, places


def rounds():
    number = 0
    while (found := bad(SCHEMA, number))[1]:
        yield pytest.param(*found, id=f"{number}: {len(found[1])} values")
        number += 1


def refusals(values):
    """Places that the schema objects to, with what it says."""
    status, text = manifests.template(values)
    assert status != 0, "accepted"
    return re.findall(r"^ *- at '([^']*)': (.*)$", text, re.M)


@pytest.mark.parametrize(("values", "places"), rounds())
def test_each_bad_value_is_refused_by_its_name(values, places):
    named = {place for place, _ in refusals(values)}
    assert set(places) - named == set()


def objects_of(schema, place=""):
    """Places of all objects that have a fixed set of keys."""
    schema = resolved(schema)
    if schema.get("type") == "array":
        yield from objects_of(schema["items"], f"{place}/0")
    for name, inner in schema.get("properties", {}).items():
        yield from objects_of(inner, f"{place}/{name}")
    if schema.get("additionalProperties") is False:
        yield place


def test_each_unknown_key_is_refused():
    values = {}
    places = list(objects_of(SCHEMA))
    for place in places:
        here, steps = values, place.split("/")[1:]
        for step, following in zip(steps, [*steps[1:], ""]):
            if isinstance(here, list):
                if not here:
                    here.append({})
                here = here[0]
            else:
                here = here.setdefault(step, [] if following == "0" else {})
        here["unknown"] = True
    said = dict.fromkeys(place for place, text in refusals(values) if "additional properties 'unknown' not allowed" in text)
    assert set(places) - set(said) == set()


def keys_of(value, place=""):
    if not isinstance(value, dict) or not value:
        return {place}
    return {key for name, inner in value.items() for key in keys_of(inner, f"{place}/{name}")}


def test_values_yaml_has_each_value():
    def keys(schema, place=""):
        schema = resolved(schema)
        if schema.get("type") != "object" or not schema.get("properties"):
            return {place}
        return {key for name, inner in schema["properties"].items() for key in keys(inner, f"{place}/{name}")}

    # Of these the values of the chart are whole, and what they may have is Kubernetes' or the daemon's.
    whole = ("/config/window", "/daemon/resources", "/controller/resources", "/monitor/resources", "/daemon/seLinuxOptions",
             "/pod/affinity", "/controller/affinity", "/daemon/appArmorProfile")

    def shortened(found):
        return {next((place for place in whole if key.startswith(place)), key) for key in found}

    assert shortened(keys(SCHEMA)) - {"/global"} == shortened(
        key for key in keys_of(VALUES) if not key.startswith(("/pod/nodeSelector", "/controller/nodeSelector", "/dashboard/labels"))) | {
            "/pod/nodeSelector", "/controller/nodeSelector", "/dashboard/labels"}


def test_each_value_has_its_comment():
    lines = (manifests.CHART / "values.yaml").read_text(encoding="utf-8").split("\n")
    # What is Kubernetes' own, below a key with a comment.
    own = ("requests", "limits", "kubernetes.io/os", "kubernetes.io/arch")
    for above, line in zip(lines, lines[1:]):
        key = re.match(r"\s*([\w./]+): \S", line)
        assert not key or key[1] in own or above.lstrip().startswith("#"), line


def test_the_configuration_has_the_daemons_own_schema():
    own = json.loads((ROOT / "api" / "config" / "v1.schema.json").read_text(encoding="utf-8"))
    assert {name: SCHEMA["$defs"][name] for name in own["$defs"]} == own["$defs"]
    mine = SCHEMA["properties"]["config"]["properties"]
    assert {name: mine[name] for name in own["properties"] if name != "resources"} == {
        name: schema for name, schema in own["properties"].items() if name != "resources"}


def test_the_configuration_arrives_as_it_was_given():
    config = {"version": "v1", "mode": "enforce", "window": {"pool": {"start": "0x09100000", "end": 0x10000000}, "size": "1Mi"},
              "resources": [{"name": "vendor.example/nvme", "selectors": [{"vendor": "0010", "device": "1e10", "numaNode": 0}]}]}
    found = objects({"config": config})["ConfigMap", "vfio-doorbell"]["data"]["config.yaml"]
    assert yaml.safe_load(found) == config
    # yaml-cpp, which the daemon has, reads no exponents.
    assert "end: 268435456\n" in found and '"0010"' in found


REFUSED = [
    ({"config": {"resources": []}}, "config.resources: is empty"),
    ({"config": {"resources": [BIND | {"selectors": [{"vendor": "15b3"}]}] * 2}},
     "config.resources[1].name: vendor.example/bound is the name of config.resources[0] too"),
    ({"config": {"resources": [BIND]}}, "config.resources[0].selectors[0].bind: to bind drivers the daemon must be privileged"),
    (BINDING | {"config": {"mode": "observe", "resources": [BIND]}},
     "config.resources[0].selectors[0].bind: mode observe changes nothing"),
    ({"binding": {"enabled": True}, "config": {"mode": "observe"}}, "binding.enabled: mode observe changes nothing"),
    ({"daemon": {"appArmorProfile": {"type": "Localhost"}}}, "daemon.appArmorProfile.localhostProfile: is missing"),
    ({"daemon": {"appArmorProfile": {"localhostProfile": "x"}}}, "daemon.appArmorProfile.localhostProfile: is for type Localhost"),
    ({"pod": {"updateStrategy": {"rollingUpdate": {"maxSurge": 0}}}},
     "pod.updateStrategy.rollingUpdate: maxSurge and maxUnavailable are both 0"),
    ({"pod": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "10%"}}}},
     "pod.updateStrategy.rollingUpdate: Kubernetes takes maxSurge or maxUnavailable"),
    ({"monitor": {"status": {"condition": False, "events": False, "object": False}}}, "monitor.status.enabled: condition, events"),
    ({"monitor": {"status": {"events": False, "podUids": True}}}, "monitor.status.podUids: is for Events"),
    (ALONE | {"prometheusRule": {"enabled": True}}, "prometheusRule.enabled: the alerts are about metrics of the monitor"),
    (ALONE | {"dashboard": {"enabled": True}}, "dashboard.enabled: the dashboard shows metrics of the monitor"),
    (ALONE | {"podMonitor": {"enabled": True}}, "podMonitor.enabled: neither monitor nor controller is enabled"),
    ({"kubevirt": {"namespace": "kubevirt"}}, "kubevirt.name: is missing"),
    ({"kubevirt": {"name": "kubevirt"}}, "kubevirt.namespace: is missing"),
    ({"controller": {"disable": True}}, "controller.disable: it is the controller that takes back"),
    ({"networkPolicy": {"enabled": False, "metricsFrom": [{"podSelector": {}}]}}, "networkPolicy.metricsFrom: keeps nobody out"),
]


@pytest.mark.parametrize(("values", "reason"), REFUSED)
def test_a_combination_without_sense_is_refused_with_the_reason(values, reason):
    status, text = manifests.template(manifests.values_of(values))
    assert status != 0 and f"\n{reason}" in text, text


def test_each_combination_was_tried():
    text = (manifests.CHART / "templates" / "validation.yaml").read_text(encoding="utf-8")
    assert text.count("append $problems") == len(REFUSED)


def test_all_that_is_wrong_is_said_at_once():
    _, text = manifests.template({"kubevirt": {"name": "kubevirt"}})
    assert "\nconfig.resources: " in text and "\nkubevirt.namespace: " in text, text


def test_an_old_kubernetes_is_refused():
    status, text = manifests.template(manifests.values_of({}), "--kube-version", "1.31.9")
    assert status != 0 and "requires kubeVersion: >=1.32.0-0" in text
