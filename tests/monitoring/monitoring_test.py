# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus scrapes the real monitor beside the real daemon: what it gets, and that every alert and every query of the
dashboard finds there what it is about.

    /usr/bin/python3 -m pytest tests/monitoring

needs root, what scripts/install-deps installs, and the programs of build/release (VFIO_DOORBELL_PRESET names another build).
"""

import contextlib
import json
import pathlib
import re
import signal
import statistics
import subprocess
import time

import pytest
import yaml

import node as nodes
import programs

from vlab import namespaces, tools, waiting

RULE_TESTS = pathlib.Path(__file__).parent / "alerts_test.yaml"
ALERTS = {rule["alert"]: rule["expr"] for group in yaml.safe_load(nodes.ALERTS.read_text(encoding="utf-8"))["groups"]
          for rule in group["rules"]}
DASHBOARD = json.loads(nodes.DASHBOARD.read_text(encoding="utf-8"))
QUERIES = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
# How Grafana would fill them in.
VARIABLES = {"$node": ".*", "$__rate_interval": "10m"}
DEVICES = 24
# Each for one thing, so that the cases do not meet.
REFUSED, UNHEALTHY, WITH_SIBLING, READ_ONLY, UNWRITTEN, KEPT, SLOW = range(DEVICES - 7, DEVICES)
ANONYMOUS_LIMIT_KIB = 8 * nodes.KIB
STUCK_LIMIT_S = 10
# Some of which the daemon's own look at the kernel may take.
SLOW_CALLS = 4


@pytest.fixture(scope="session", name="prometheus_folder")
def prometheus_folder_fixture():
    """Before there is no network any more."""
    return programs.prometheus()


@pytest.fixture(scope="session", name="node")
def node_fixture(prometheus_folder, tmp_path_factory):
    assert prometheus_folder.is_dir()
    for program in (nodes.DAEMON, nodes.MONITOR, nodes.WORLD):
        assert program.is_file(), f"{program} is missing: scripts/test monitoring builds it"
    namespaces.enter_own_network(mounts=True)
    node = nodes.Node(tmp_path_factory.mktemp("node"), DEVICES)
    try:
        node.start_daemon()
        node.start_monitor()
        yield node
    finally:
        node.close()


@pytest.fixture(scope="session", name="prometheus")
def prometheus_fixture(node):
    prometheus = nodes.Prometheus(node.folder / "prometheus", node.targets)
    try:
        prometheus.wait_for_value("vfio_doorbell_monitor_daemon_up", 1)
        yield prometheus
    finally:
        prometheus.close()


def test_the_rules_by_their_own_tests(prometheus_folder):
    tools.run(prometheus_folder / "promtool", "check", "rules", nodes.ALERTS)
    tools.run(prometheus_folder / "promtool", "test", "rules", RULE_TESTS)
    tested = set(re.findall(r"alertname: (\w+)", RULE_TESTS.read_text(encoding="utf-8")))
    assert tested == set(ALERTS)


def test_what_is_shown_is_as_prometheus_likes_it(node, prometheus_folder):
    node.reserve(2)
    _, text = node.page("/metrics")
    done = subprocess.run([prometheus_folder / "promtool", "check", "metrics"], input=text, capture_output=True, text=True,
                          timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_metric_is_explained(node):
    """scripts/check-metrics compares the page with the code; this, with what comes out."""
    _, text = node.page("/metrics")
    shown = set(re.findall(r"^# TYPE (\S+)", text, re.M))
    explained = set(re.findall(r"^\| `(vfio_doorbell_\w+)` \|", (programs.ROOT / "docs" / "metrics.md").read_text(encoding="utf-8"),
                               re.M))
    # Nothing is reported to an API server here.
    assert explained - shown == {"vfio_doorbell_monitor_api_calls_total"}
    assert shown - explained == set()


def test_a_quiet_node_sets_nothing_off(node, prometheus):
    node.reserve(2)
    prometheus.wait_for_value('vfio_doorbell_windows{state="started"}', 2)
    assert node.page("/readyz") == (200, "[+]monitor ok\n[+]daemon ok\n[+]registered ok\n[+]ledger ok\n[+]verified ok\n"
                                         "readyz check passed\n")
    waiting.wait_for("each rule was evaluated", lambda: all(rule["health"] == "ok" for rule in prometheus.rules()), 10)
    assert [rule["name"] for rule in prometheus.rules()] == list(ALERTS)
    for name, expression in ALERTS.items():
        assert prometheus.query(expression) == [], name


def allocate(node, number):
    return node.world.ask(f"allocate {nodes.RESOURCE} {nodes.device(number)}")


@contextlib.contextmanager
def monitor_down(node):
    node.stop_monitor()
    yield
    node.start_monitor()


@contextlib.contextmanager
def daemon_down(node):
    node.stop_daemon()
    yield
    node.start_daemon()


@contextlib.contextmanager
def no_kubelet(node):
    node.world.do("kubelet stop")
    yield
    node.world.do("kubelet start")
    node.world.do(f"wait {nodes.RESOURCE} {DEVICES}")


@contextlib.contextmanager
def bad_configuration(node):
    node.configure("version: v1\nresources: 7\n")
    yield
    node.configure()


@contextlib.contextmanager
def full_pool(node):
    node.reserve(nodes.WINDOWS)
    yield
    node.reserve(2)


@contextlib.contextmanager
def pool_with_one_window(node):
    node.reserve(nodes.WINDOWS - 1)
    yield
    node.reserve(2)


@contextlib.contextmanager
def refused_allocation(node):
    node.reserve(nodes.WINDOWS)
    assert allocate(node, REFUSED) != "ok"
    yield
    node.reserve(2)


@contextlib.contextmanager
def device_without_driver(node):
    node.world.do(f"driver {nodes.device(UNHEALTHY)} none")
    yield
    node.world.do(f"driver {nodes.device(UNHEALTHY)} vfio-pci")
    node.world.do(f"wait {nodes.RESOURCE} {DEVICES}")


@contextlib.contextmanager
def refused_start(node):
    """Another function has come into the group of a device since a pod got it, with a driver of the host."""
    name = nodes.device(WITH_SIBLING)
    node.world.do(f"allocate {nodes.RESOURCE} {name}")
    node.world.do(f"sibling {name} nvme")
    assert node.world.ask(f"start {nodes.RESOURCE} {name}") != "ok"
    yield
    node.world.do(f"end {name}")
    node.world.do(f"alone {name}")
    node.wait_for_windows(len(node.reserved))
    node.world.do(f"wait {nodes.RESOURCE} {DEVICES}")


@contextlib.contextmanager
def read_only_knob(node):
    file = node.world.window_file(READ_ONLY)
    tools.run("mount", "--bind", file, file)
    tools.run("mount", "-o", "remount,bind,ro", file)
    assert allocate(node, READ_ONLY) != "ok"
    yield
    tools.run("umount", file)


@contextlib.contextmanager
def full_disk(node):
    tools.run("mount", "-o", "remount,ro", node.folder / "data")
    assert allocate(node, UNWRITTEN) != "ok"
    yield
    tools.run("mount", "-o", "remount,rw", node.folder / "data")


@contextlib.contextmanager
def no_list_of_pods(node):
    node.world.do("pods stop")
    yield
    node.world.do("pods start")


@contextlib.contextmanager
def window_that_stays(node):
    """The kernel does not take the window of a pod back that is gone. It is refused here by EROFS; by EBUSY, as of a VMM that holds
    the group, no file can refuse it. The daemon tells them apart in its log alone."""
    name, file = nodes.device(KEPT), node.world.window_file(KEPT)
    node.world.do(f"allocate {nodes.RESOURCE} {name}")
    tools.run("mount", "--bind", file, file)
    tools.run("mount", "-o", "remount,bind,ro", file)
    node.world.do(f"end {name}")
    yield
    tools.run("umount", file)
    node.wait_for_windows(len(node.reserved))


@contextlib.contextmanager
def slow_kernel(node):
    """More than one call in a hundred takes two seconds, as a kernel does that has to wait for somebody."""
    for _ in range(SLOW_CALLS):
        node.world.do("slow 2000")
        node.world.do(f"allocate {nodes.RESOURCE} {nodes.device(SLOW)}")
    yield
    node.world.do(f"end {nodes.device(SLOW)}")
    node.wait_for_windows(len(node.reserved))


@contextlib.contextmanager
def kernel_without_knob(node):
    reserved = len(node.reserved)
    node.reserve(0)
    node.world.do("knobs absent")
    yield
    node.world.do("knobs present")
    node.world.do(f"wait {nodes.RESOURCE} {DEVICES}")
    node.reserve(reserved)


@contextlib.contextmanager
def another_version(node):
    with node.beside_another("0.0.9"):
        yield


# How to make each of them true, and false again.
CASES = {
    "VfioDoorbellMonitorDown": monitor_down,
    "VfioDoorbellDaemonDown": daemon_down,
    "VfioDoorbellNotRegistered": no_kubelet,
    "VfioDoorbellConfigRefused": bad_configuration,
    "VfioDoorbellPoolExhausted": full_pool,
    "VfioDoorbellPoolLow": pool_with_one_window,
    "VfioDoorbellDeviceUnhealthy": device_without_driver,
    "VfioDoorbellAllocationsRefused": refused_allocation,
    "VfioDoorbellContainerStartsRefused": refused_start,
    "VfioDoorbellKernelRefuses": read_only_knob,
    "VfioDoorbellNotVerified": refused_start,
    "VfioDoorbellLedgerNotWritten": full_disk,
    "VfioDoorbellPodsUnknown": no_list_of_pods,
    "VfioDoorbellWindowLeftOver": window_that_stays,
    "VfioDoorbellAllocateSlow": slow_kernel,
    "VfioDoorbellNoKnob": kernel_without_knob,
    "VfioDoorbellVersionsDiffer": another_version,
}
# These look at the last quarter of an hour, so they fire for as long.
COUNTING = {"VfioDoorbellAllocationsRefused", "VfioDoorbellContainerStartsRefused", "VfioDoorbellKernelRefuses",
            "VfioDoorbellAllocateSlow"}
# Of no node.
OF_ALL_NODES = {"VfioDoorbellVersionsDiffer"}


def test_there_is_a_case_for_each_alert():
    assert set(CASES) == set(ALERTS)


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires(node, prometheus, alert):
    if alert not in COUNTING:
        waiting.wait_for(f"{alert} does not fire yet", lambda: not prometheus.firing(alert), 20)
    with CASES[alert](node):
        found = prometheus.wait_for_alert(alert)
    for each in found:
        assert alert in OF_ALL_NODES or each["labels"]["instance"] == "node-a", each
        # What a template does not find, or cannot do, it writes into the text.
        assert "<no value>" not in str(each["annotations"]) and "<error" not in str(each["annotations"]), each
    if alert not in COUNTING:
        waiting.wait_for(f"{alert} is over", lambda: not prometheus.firing(alert), 20, evidence=lambda: node.log("daemon"))


@pytest.fixture(scope="session", name="eventful")
def eventful_fixture(node, prometheus):
    """A node where everything has happened that a panel shows."""
    for case in (refused_allocation, refused_start, read_only_knob):
        with case(node):
            pass
    prometheus.wait_for('vfio_doorbell_problems_total')
    prometheus.wait_for('vfio_doorbell_container_starts_total{result!="ok"}')
    # Of a counter that has just begun there is no rate yet.
    scrapes = 'count_over_time(vfio_doorbell_container_starts_total{result!="ok"}[10m]) > 3'
    prometheus.wait_for(scrapes)
    prometheus.wait_for('vfio_doorbell_reconcile_duration_seconds_count > 0')
    return prometheus


@pytest.mark.parametrize("title, query", QUERIES)
def test_a_query_of_the_dashboard_yields_something(eventful, title, query):
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    assert "$" not in query
    found = eventful.query(query)
    assert found, f"{title}: {query}"
    # A quantile of nothing is no number.
    assert any(series["value"][1] != "NaN" for series in found), f"{title}: {query}: {found}"


def test_a_daemon_that_is_stopped_is_noticed(node, prometheus):
    assert node.page("/livez")[0] == 200
    node.signal_daemon(signal.SIGSTOP)
    begin = time.monotonic()
    try:
        waiting.wait_for("/livez fails", lambda: node.page("/livez")[0] == 503, STUCK_LIMIT_S)
        took = time.monotonic() - begin
        assert node.page("/readyz")[0] == 503
        assert node.page("/livez/monitor")[0] == 200
        prometheus.wait_for("vfio_doorbell_monitor_daemon_up == 0")
    finally:
        node.signal_daemon(signal.SIGCONT)
    print(f"\n/livez failed after {took:.1f} s")
    assert took <= STUCK_LIMIT_S
    waiting.wait_for("/livez is well again", lambda: node.page("/livez")[0] == 200, 5)


def test_it_stays_small(node):
    memory = node.anonymous_kib()
    times = []
    for _ in range(50):
        begin = time.monotonic()
        assert node.page("/metrics")[0] == 200
        times.append(time.monotonic() - begin)
    print(f"\nanonymous memory: {memory} KiB; a scrape, median of 50: {statistics.median(times) * 1000:.1f} ms")
    assert memory <= ANONYMOUS_LIMIT_KIB
