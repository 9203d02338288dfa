# SPDX-License-Identifier: Apache-2.0
"""What the clusters of these tests stand on: a docker that reaches nothing, and of which nothing stays.

    /usr/bin/python3 -m pytest tests/e2e/sealed_test.py

needs root and what scripts/install-deps installs.
"""

import json
import pathlib
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LAB = ROOT / "tests" / "lab"
sys.path.insert(0, str(LAB))

from vlab import docker, tools, waiting  # noqa: E402
from vlab.processes import Process  # noqa: E402

# Starts docker in a directory, says so, and waits to be killed.
STARTER = """
import pathlib, signal, sys
sys.path.insert(0, sys.argv[1])
from vlab.docker import Docker
Docker("test-sealed", pathlib.Path(sys.argv[2])).start(bound=True)
print("serves", flush=True)
signal.pause()
"""


@pytest.fixture(name="started")
def started_fixture(tmp_path):
    """A docker, and the process that has started it."""
    with subprocess.Popen([sys.executable, "-c", STARTER, LAB, tmp_path], stdout=subprocess.PIPE, text=True) as starter:
        daemon = docker.Docker("test-sealed", tmp_path)
        try:
            assert starter.stdout.readline() == "serves\n"
            yield daemon, starter
        finally:
            starter.kill()
            daemon.stop()


def test_no_way_leads_out(started):
    daemon, _ = started
    inside = ["nsenter", f"--net=/proc/{daemon.first_process().pid}/ns/net", "--"]
    links = json.loads(subprocess.run([*inside, "ip", "-json", "link"], capture_output=True, check=True).stdout)
    assert {link["ifname"] for link in links} == {"lo", "docker0"}
    # Documentation's own address, RFC 5737.
    route = subprocess.run([*inside, "ip", "route", "get", "192.0.2.1"], capture_output=True, text=True, check=False)
    assert "unreachable" in route.stderr


def test_nothing_stays_of_one_whose_maker_was_killed(started, tmp_path):
    daemon, starter = started
    tree = tmp_path / "tree"
    tree.mkdir()
    tools.run("gcc", "-static", "-o", tree / "pause", LAB / "images" / "pause.c")
    tools.run("tar", "--create", "--file", tmp_path / "image.tar", "--directory", tree, ".")
    daemon.run("import", tmp_path / "image.tar", "pause")
    # As kind's node is: with every capability that can be had.
    name = daemon.run("run", "--detach", "--privileged", "pause", "/pause").strip()
    groups = list(docker.CGROUPS.rglob(name))
    # As this machine sees it, and not as docker does in its own namespace.
    container = Process.of(int((groups[0] / "cgroup.procs").read_text(encoding="ascii")))
    assert container.is_alive()
    starter.send_signal(signal.SIGKILL)
    waiting.wait_for("docker has ended with its maker", lambda: not daemon.first_process(), 10)
    assert not container.is_alive()
    daemon.stop()
    assert not [group for group in groups if group.exists() or group.parent.exists()]
    assert str(tmp_path) not in pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8")
