# SPDX-License-Identifier: Apache-2.0
"""The lab's own foundations: what it keeps, how it waits, what it ends. Nothing is emulated here."""

import json
import os
import pathlib
import subprocess
import sys
import tarfile
import threading

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from vlab import cache, golang, images, kubernetes, machine, processes, waiting  # noqa: E402
from vlab.cluster import Cluster  # noqa: E402
from vlab.errors import LabError  # noqa: E402
from vlab.node import Node  # noqa: E402


@pytest.fixture(autouse=True)
def private_cache(tmp_path, monkeypatch):
    """No test sees the user's cache."""
    monkeypatch.setenv("VFIO_DOORBELL_CACHE", str(tmp_path / "cache"))


class TestCache:
    """cache.entry()"""

    @staticmethod
    def make(text):
        return lambda place: (place / "file").write_text(text)

    def test_makes_once(self):
        first = cache.entry("kind", ["a"], self.make("first"))
        again = cache.entry("kind", ["a"], self.make("second"))
        assert first == again
        assert (again / "file").read_text() == "first"

    def test_other_inputs_are_another_entry(self):
        first = cache.entry("kind", ["a", "b"], self.make("first"))
        other = cache.entry("kind", ["ab"], self.make("second"))
        assert (first / "file").read_text() == "first"
        assert (other / "file").read_text() == "second"

    def test_a_changed_file_is_another_input(self, tmp_path):
        source = tmp_path / "source"
        source.write_text("one")
        before = cache.key_of([source])
        source.write_text("two")
        assert cache.key_of([source]) != before

    def test_a_changed_file_in_a_directory_is_another_input(self, tmp_path):
        (tmp_path / "dir").mkdir()
        (tmp_path / "dir" / "source").write_text("one")
        before = cache.key_of([tmp_path / "dir"])
        (tmp_path / "dir" / "source").rename(tmp_path / "dir" / "renamed")
        assert cache.key_of([tmp_path / "dir"]) != before

    def test_the_newest_stays_whatever_time_its_making_left(self):
        def make_old(place):
            self.make("old")(place)
            os.utime(place, (0, 0))

        for number in range(3):
            assert (cache.entry("kind", [str(number)], make_old, keep=2) / "file").exists()

    def test_a_failed_build_leaves_no_entry(self):
        def fail(place):
            (place / "file").write_text("half")
            raise LabError("told to fail")

        with pytest.raises(LabError):
            cache.entry("kind", ["a"], fail)
        assert (cache.entry("kind", ["a"], self.make("whole")) / "file").read_text() == "whole"
        assert [p.name for p in (cache.root() / "kind").glob(".making-*")] == []

    def test_two_builders_build_once(self):
        made = []

        def make(place):
            made.append(threading.get_ident())
            (place / "file").write_text("x")

        threads = [threading.Thread(target=cache.entry, args=("kind", ["a"], make)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 1

    def test_keeps_what_was_used_last(self):
        entries = [cache.entry("kind", [str(n)], self.make(str(n)), keep=2) for n in range(4)]
        assert [entry.exists() for entry in entries] == [False, False, True, True]


class TestWaiting:
    """waiting.wait_for()"""

    def test_returns_what_the_condition_returned(self):
        answers = iter([None, 0, "there"])
        assert waiting.wait_for("x", lambda: next(answers), idle_s=5, every_s=0) == "there"

    def test_deadline_names_what_was_awaited_and_shows_the_evidence(self, monkeypatch):
        monkeypatch.setattr(waiting, "PATIENCE", 1)
        with pytest.raises(LabError, match="(?s)the moon is full.*after 0 s.*it is new"):
            waiting.wait_for("the moon is full", lambda: False, idle_s=0.01,
                             evidence=lambda: "it is new")

    def test_gives_up_at_once_when_waiting_is_pointless(self):
        with pytest.raises(LabError, match="the moon has gone"):
            waiting.wait_for("the moon is full", lambda: False, idle_s=1000,
                             give_up=lambda: "the moon has gone")


class TestProcess:
    """processes.Process"""

    def test_stop_ends_it(self, tmp_path):
        process = processes.Process.start(["sleep", "1000"], tmp_path / "log", tmp_path)
        assert process.is_alive()
        process.stop()
        assert not process.is_alive()

    def test_stop_insists(self, tmp_path):
        stubborn = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]
        process = processes.Process.start(stubborn, tmp_path / "log", tmp_path)
        waiting.wait_for("the trap is set", lambda: (tmp_path / "log").read_text(), idle_s=5)
        process.stop(grace_s=0.1)
        assert not process.is_alive()

    def test_bound_one_ends_with_a_killed_parent(self, tmp_path):
        parent = ("import pathlib, sys, time; from vlab import processes; "
                  "print(processes.Process.start(['sleep', '1000'], pathlib.Path('log'), '.', "
                  "bound=True), flush=True); time.sleep(1000)")
        with subprocess.Popen([sys.executable, "-c", parent], cwd=tmp_path, text=True,
                              env={"PYTHONPATH": str(pathlib.Path(__file__).parent),
                                   "PATH": "/usr/bin:/bin"},
                              stdout=subprocess.PIPE) as killed:
            # The parent prints its Process as it would be written here.
            process = eval(f"processes.{killed.stdout.readline()}")  # pylint: disable=eval-used
            command = pathlib.Path(f"/proc/{process.pid}/comm")
            waiting.wait_for("setpriv has done its part",
                             lambda: command.read_text() == "sleep\n", idle_s=2)
            killed.kill()
        waiting.wait_for("the bound process has ended", lambda: not process.is_alive(), idle_s=2)

    def test_another_process_with_the_same_pid_is_left_alone(self):
        with subprocess.Popen(["sleep", "1000"]) as innocent:
            mistaken = processes.Process(innocent.pid, started=1)
            assert not mistaken.is_alive()
            mistaken.stop()
            assert innocent.poll() is None
            innocent.kill()


class TestMachine:
    """machine.make_devices()"""

    def test_slots_are_given_in_order(self, tmp_path):
        devices = machine.make_devices(["edu", "pair", "edu"], tmp_path)
        assert devices.bdfs == ["0000:00:10.0", "0000:00:11.0", "0000:00:11.1", "0000:00:12.0"]

    def test_unknown_kinds_are_named(self):
        with pytest.raises(LabError, match="'gpu'.*nvme"):
            machine.check_kinds(["edu", "gpu"])


# Says that it is VERSION; fetches a toolchain that is like itself; instead of a kubelet builds a text:
# what built it, and where.
FAKE_GO = """#!/bin/sh
set -e
case "$1" in
  version) echo "go version goVERSION linux/amd64" ;;
  mod) mkdir -p "$GOMODCACHE/$3/bin" "$GOMODCACHE/$3/pkg/tool"
       cp "$0" "$GOMODCACHE/$3/bin/go"
       echo "$3" > "$GOMODCACHE/$3/bin/name" ;;
  build) while [ "$1" != -o ]; do shift; done
         { cat "${0%/*}/name" || echo installed; pwd; } > "$2" ;;
esac
"""


@pytest.fixture(name="fake_go")
def fake_go_fixture(tmp_path, monkeypatch):
    """Installs a Go that says it is of a version: only what it says is real."""
    def install(version):
        go = tmp_path / "bin" / "go"
        go.parent.mkdir()
        go.write_text(FAKE_GO.replace("VERSION", version))
        go.chmod(0o755)
        monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")

    return install


class TestKubernetes:
    """kubernetes.program()"""

    @pytest.mark.parametrize("name, module", [("kubectl", "kubernetes/1.37"), ("etcd", "kubernetes/1.37"), ("coredns", "coredns"), ("kind", "kind")])
    def test_is_built_from_the_module_that_pins_it(self, name, module, fake_go):
        fake_go("1.26.0")
        assert kubernetes.program(name, "1.37").read_text().split() == ["installed", str(kubernetes.LAB / module)]

    @pytest.mark.parametrize("installed, version, builder", [
        ("1.19.8", "1.34", "golang.org/toolchain@v0.0.1-go1.24"), ("1.24.4", "1.34", "installed"),
        ("1.24.4", "1.37", "golang.org/toolchain@v0.0.1-go1.26"), ("1.26.0", "1.37", "installed")])
    def test_is_built_by_a_go_that_is_new_enough(self, installed, version, builder, fake_go):
        fake_go(installed)
        built_by, module = kubernetes.program("kubelet", version, "arm64").read_text().split()
        assert built_by.startswith(builder)
        assert pathlib.Path(module) == kubernetes.MODULES / version

    def test_the_same_program_of_two_versions_and_architectures_is_kept_apart(self, fake_go):
        fake_go("1.26.0")
        assert len({kubernetes.program("kubelet", version, architecture) for version in ("1.34", "1.37") for architecture in (None, "arm64")}) == 4

    def test_the_versions_there_are_are_named(self):
        with pytest.raises(LabError, match="no Kubernetes 1.33, only 1.34, 1.37"):
            kubernetes.program("kubelet", "1.33")

    def test_releases_belong_to_their_versions(self):
        for version in kubernetes.versions():
            assert kubernetes.release(version).startswith(f"v{version}.")

    def test_a_version_that_is_not_pinned_is_named(self):
        with pytest.raises(LabError, match="kind/go.mod does not require example.org/x"):
            golang.version_of(kubernetes.LAB / "kind", "example.org/x")


class TestImages:
    """images.archive()"""

    def test_same_tree_same_bytes(self):
        def fill(tree):
            (tree / "bin").mkdir()
            (tree / "bin" / "program").write_text("x")

        first = images.archive("one", "lab.local/x:1", [], fill, ["/bin/program"])
        second = images.archive("two", "lab.local/x:1", [], fill, ["/bin/program"])
        assert first != second and first.read_bytes() == second.read_bytes()
        with tarfile.open(first) as archive:
            assert "manifest.json" in archive.getnames()


class TestNode:
    """node.Node"""

    @pytest.mark.parametrize("name", ["", "Upper", "-a", "a/b", "a" * 32])
    def test_refuses_names_that_are_no_host_names(self, name):
        with pytest.raises(LabError, match="a node's name is"):
            Node(name)

    def test_there_is_no_such_node(self):
        with pytest.raises(LabError, match="there is no node a"):
            Node.existing("a")


class TestCluster:
    """cluster.Cluster"""

    @pytest.mark.parametrize("name", ["", "Upper", "-a", "a/b", "a" * 22])
    def test_refuses_names_that_are_no_host_names(self, name):
        with pytest.raises(LabError, match="a cluster's name is"):
            Cluster(name)

    def test_there_is_no_such_cluster(self):
        with pytest.raises(LabError, match="there is no cluster a"):
            Cluster.existing("a")


class TestRunc:
    """kind/runc"""

    DESCRIPTION = {"capabilities": {"bounding": ["CAP_SYS_TIME", "CAP_CHOWN"], "ambient": []}, "user": {"uid": 0}}

    def run_without_sys_time(self, tmp_path, *arguments):
        """Runs it where CAP_SYS_TIME cannot be had; returns what runc is told."""
        (tmp_path / "runc").write_text('#!/bin/sh\necho "$@"\n')
        (tmp_path / "runc").chmod(0o755)
        path = f"{tmp_path}:/usr/bin:/bin"
        return subprocess.run(["setpriv", "--bounding-set", "-sys_time", kubernetes.LAB / "kind" / "runc", *arguments],
                              env={"PATH": path}, capture_output=True, text=True, check=True).stdout.split()

    def test_takes_what_cannot_be_had_out_of_a_container(self, tmp_path):
        (tmp_path / "config.json").write_text(json.dumps({"process": self.DESCRIPTION, "hostname": "x"}))
        arguments = ["--root", "/r", "create", "--bundle", str(tmp_path), "id"]
        assert self.run_without_sys_time(tmp_path, *arguments) == arguments
        assert json.loads((tmp_path / "config.json").read_text()) == {
            "process": {"capabilities": {"bounding": ["CAP_CHOWN"], "ambient": []}, "user": {"uid": 0}}, "hostname": "x"}

    def test_takes_it_out_of_a_process_that_enters_one(self, tmp_path):
        (tmp_path / "process.json").write_text(json.dumps(self.DESCRIPTION))
        arguments = ["exec", "--process", str(tmp_path / "process.json"), "id"]
        assert self.run_without_sys_time(tmp_path, *arguments) == arguments
        assert json.loads((tmp_path / "process.json").read_text())["capabilities"]["bounding"] == ["CAP_CHOWN"]

    def test_passes_on_what_starts_nothing(self, tmp_path):
        assert self.run_without_sys_time(tmp_path, "delete", "id") == ["delete", "id"]
