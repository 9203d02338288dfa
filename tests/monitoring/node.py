# SPDX-License-Identifier: Apache-2.0
"""A node to be watched: the real daemon in a world that is played, the real monitor, and a real Prometheus.

All of it lives in a network namespace that has nothing but a loopback interface, so nothing of it can reach anything, or be
reached; and in a mount namespace, so that files can be made read-only for root as well.
"""

import contextlib
import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import yaml

import programs

from vlab import processes, tools, waiting
from vlab.errors import LabError

ROOT = programs.ROOT
BUILD = ROOT / "build" / os.environ.get("VFIO_DOORBELL_PRESET", "release")
DAEMON = BUILD / "plugin" / "vfio-doorbell-plugin"
MONITOR = BUILD / "plugin" / "vfio-doorbell-monitor"
WORLD = BUILD / "tests" / "monitoring" / "monitoring_world"
# As the chart has them.
ALERTS = ROOT / "helm" / "vfio-doorbell" / "files" / "alerts.yaml"
DASHBOARD = ALERTS.with_name("dashboard.json")
MONITOR_ADDRESS = "127.0.0.1:9465"
OTHER_MONITOR_ADDRESS = "127.0.0.1:9466"
PROMETHEUS_ADDRESS = "127.0.0.1:9090"
RESOURCE = "vendor.example/nvme"
WINDOWS = 16
KIB = 1024


def device(number):
    return f"0000:{1 + number // 32:02x}:{number % 32:02x}.0"


def get(address, path, timeout_s=15):
    """Status and text of a page; status 0: nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=timeout_s) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


class World:
    """What is around the daemon (world.cc)."""

    def __init__(self, folder, devices):
        self._process = subprocess.Popen(processes.bound_to_us([WORLD, folder, str(devices)]), stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)
        self.sysfs = self._process.stdout.readline().strip()

    def ask(self, command):
        """Its answer: "ok", or what went wrong."""
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def do(self, command):
        answer = self.ask(command)
        if answer != "ok":
            raise LabError(f"{command}: {answer}")

    def window_file(self, number):
        return f"{self.sysfs}/kernel/iommu_groups/{10 + number}/msi_window"

    def close(self):
        self._process.stdin.close()
        self._process.wait(60)


def rules(pending_s):
    """The alert rules, but each is true for no longer than `pending_s` before it fires. How long it is to be true is tried by
    promtool, in a time that it makes up."""
    document = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    for group in document["groups"]:
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = f"{pending_s}s"
    return document


class Prometheus:
    def __init__(self, folder, targets, every_s=1):
        """`targets` is a file with what is to be scraped, which may change."""
        self._folder = folder
        folder.mkdir()
        alerts = folder / "alerts.yaml"
        alerts.write_text(yaml.safe_dump(rules(every_s)), encoding="utf-8")
        config = {"global": {"scrape_interval": f"{every_s}s", "evaluation_interval": f"{every_s}s"},
                  "rule_files": [str(alerts)],
                  "scrape_configs": [{"job_name": "vfio-doorbell", "file_sd_configs": [{"files": [str(targets)]}]}]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        self._process = processes.Process.start(
            [programs.prometheus() / "prometheus", f"--config.file={folder / 'prometheus.yml'}",
             f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={PROMETHEUS_ADDRESS}"],
            folder / "prometheus.log", folder, bound=True)
        waiting.wait_for("Prometheus is ready", lambda: get(PROMETHEUS_ADDRESS, "/-/ready")[0] == 200, 10,
                         evidence=lambda: (folder / "prometheus.log").read_text(encoding="utf-8")[-2000:])

    def _api(self, path, **parameters):
        status, text = get(PROMETHEUS_ADDRESS, f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        if status != 200:
            raise LabError(f"{path} {parameters}: {status} {text}")
        return json.loads(text)["data"]

    def query(self, expression):
        """The series that the expression yields now."""
        return self._api("query", query=expression)["result"]

    def value(self, expression):
        """Of the one series that it yields; None: of none, or of several."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if len(found) == 1 else None

    def now(self):
        return self.value("vector(time())")

    def history(self, expression, seconds, step_s):
        """The series of the last `seconds`, as [time, value] each."""
        now = self.now()
        return self._api("query_range", query=expression, start=now - seconds, end=now, step=step_s)["result"]

    def rules(self):
        return [rule for group in self._api("rules")["groups"] for rule in group["rules"]]

    def firing(self, alert):
        """Labels and annotations, as they go out to people."""
        return [found for found in self._api("alerts")["alerts"]
                if found["labels"]["alertname"] == alert and found["state"] == "firing"]

    def wait_for_alert(self, alert, idle_s=15):
        waiting.wait_for(f"{alert} fires", lambda: self.firing(alert), idle_s)
        return self.firing(alert)

    def wait_for(self, expression, idle_s=15):
        waiting.wait_for(f"Prometheus finds something for `{expression}`", lambda: self.query(expression), idle_s)

    def wait_for_value(self, expression, value, idle_s=15):
        waiting.wait_for(f"`{expression}` is {value}", lambda: self.value(expression) == value, idle_s,
                         evidence=lambda: f"it is {self.value(expression)}")

    def close(self):
        self._process.stop()


class Node:
    """Of `devices` devices, all of RESOURCE."""

    def __init__(self, folder, devices):
        self.folder = folder
        self.world = World(folder, devices)
        self._devices = devices
        self.reserved = set()
        self._daemon = None
        self._monitor = None
        self.targets = folder / "targets.json"
        self._watch({"node-a": MONITOR_ADDRESS})
        for name in ("state", "data", "cdi"):
            (folder / name).mkdir()
        # To be made read-only.
        tools.run("mount", "-t", "tmpfs", "ledger", folder / "data")
        self.configure()
        self.world.do("pods start")
        self.world.do("kubelet start")

    def configure(self, text=None):
        """Changes the configuration, to a good one without `text`."""
        end = 0x09100000 + WINDOWS * 0x00100000
        good = {"version": "v1", "window": {"pool": {"start": 0x09100000, "end": end}},
                "resources": [{"name": RESOURCE, "selectors": [{"vendor": "1b36"}]}]}
        new = self.folder / "config.new"
        new.write_text(text or yaml.safe_dump(good), encoding="utf-8")
        new.rename(self.folder / "config.yaml")

    def start_daemon(self):
        places = {"config": "config.yaml", "kubelet-dir": "plugins", "dev-root": "dev", "state-dir": "state", "cdi-dir": "cdi",
                  "data-dir": "data", "pod-resources-socket": "pods.sock"}
        self._daemon = processes.Process.start(
            [DAEMON, f"--sysfs-root={self.world.sysfs}", "--rescan-interval=1", "--release-grace=1",
             *(f"--{flag}={self.folder / name}" for flag, name in places.items())],
            self.folder / "daemon.log", self.folder, bound=True)
        answer = self.world.ask(f"wait {RESOURCE} {self._devices}")
        if answer != "ok":
            raise LabError(f"{answer}\n{self.log('daemon')}")

    def _watch(self, addresses):
        """Has Prometheus scrape these, by name of the node, from now on."""
        new = self.folder / "targets.new"
        new.write_text(json.dumps([{"targets": [address], "labels": {"instance": name}} for name, address in addresses.items()]),
                       encoding="utf-8")
        new.rename(self.targets)

    def _start_monitor(self, name, socket, address):
        monitor = processes.Process.start([MONITOR, f"--admin-socket={socket}", f"--http-address={address}"],
                                          self.folder / f"{name}.log", self.folder, bound=True)
        waiting.wait_for(f"the {name} listens", lambda: get(address, "/livez/monitor")[0] == 200, 5, evidence=lambda: self.log(name))
        return monitor

    def start_monitor(self):
        self._monitor = self._start_monitor("monitor", self.folder / "state" / "admin.sock", MONITOR_ADDRESS)

    @contextlib.contextmanager
    def beside_another(self, version):
        """A second node is scraped as well: a monitor, and a daemon of that version, which is played."""
        socket = self.folder / "other.sock"
        self.world.do(f"daemon {socket} {version}")
        monitor = self._start_monitor("other-monitor", socket, OTHER_MONITOR_ADDRESS)
        self._watch({"node-a": MONITOR_ADDRESS, "node-b": OTHER_MONITOR_ADDRESS})
        try:
            yield
        finally:
            self._watch({"node-a": MONITOR_ADDRESS})
            monitor.stop()

    def stop_daemon(self):
        self._daemon.stop()

    def stop_monitor(self):
        self._monitor.stop()

    def signal_daemon(self, number):
        os.kill(self._daemon.pid, number)

    @staticmethod
    def page(path):
        return get(MONITOR_ADDRESS, path)

    def reserve(self, count):
        """Has the first `count` devices be those of a pod, each of its own, and all others free."""
        for number in range(self._devices):
            if number < count and number not in self.reserved:
                self.world.do(f"allocate {RESOURCE} {device(number)}")
                self.world.do(f"start {RESOURCE} {device(number)}")
                self.reserved.add(number)
            elif number >= count and number in self.reserved:
                self.world.do(f"end {device(number)}")
                self.reserved.remove(number)
        self.wait_for_windows(count)

    def wait_for_windows(self, count):
        """Until as many are reserved: it takes some seconds until one goes back."""
        waiting.wait_for(f"{count} windows are reserved",
                         lambda: f"\nvfio_doorbell_pool_windows_free {WINDOWS - count}\n" in self.page("/metrics")[1], 10,
                         evidence=lambda: self.log("daemon"))

    def anonymous_kib(self):
        """Of the monitor."""
        with open(f"/proc/{self._monitor.pid}/smaps_rollup", encoding="ascii") as rollup:
            return int(next(line for line in rollup if line.startswith("Anonymous:")).split()[1])

    def log(self, name):
        return "\n".join((self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()[-15:])

    def close(self):
        for process in (self._monitor, self._daemon):
            if process:
                process.stop()
        self.world.close()
        tools.run("umount", self.folder / "data")
