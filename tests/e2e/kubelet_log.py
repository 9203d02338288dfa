# SPDX-License-Identifier: Apache-2.0
"""What the kubelet says of devices, in its log."""

import re

from chain import wait_for
from vlab.progress import step

KUBELET_CONFIG = "/etc/kubernetes/kubelet.yaml"


def make_talk(node):
    """Lets the kubelet log when devices come and go, if it does not yet."""
    if "verbosity" in node.run(f"cat {KUBELET_CONFIG}"):
        return
    with step("the kubelet gets talkative"):
        node.run(f"echo 'logging: {{verbosity: 2}}' >> {KUBELET_CONFIG}; pkill -KILL -x kubelet")
        wait_for(node, "the talkative kubelet has started its plugin manager",
                 lambda: any("Plugin Watcher Start" in line for line in lines_of(node)), idle_s=15,
                 evidence=lambda: node.log("kubelet")[-2000:])


def lines_of(node):
    """All that it has logged so far."""
    return node.log("kubelet").splitlines()


def _allocatable_changes(lines, resource):
    """[(seconds of the day, whether there is a device to allocate)], as the kubelet logs them."""
    changes = []
    for line in lines:
        found = re.match(r'I\d{4} (\d\d):(\d\d):(\d\d\.\d+) .*\] "(Mark all resources Unhealthy|Processed device updates)[^"]*" '
                         rf'resourceName="{re.escape(resource)}"(?:.* healthyCount=(\d+))?', line)
        if found:
            hours, minutes, seconds, what, healthy = found.groups()
            changes.append((int(hours) * 3600 + int(minutes) * 60 + float(seconds),
                            what.startswith("Processed") and int(healthy) > 0))
    return changes


def wait_for_lists(node, before, resources, evidence):
    """Waits until the kubelet has taken a list of devices of each resource, since it had logged `before` lines.

    Of two lists at once its checkpoint may have one only: it is written outside of the lock under which it is made.
    """
    def all_taken():
        new = lines_of(node)[before:]
        return all(any("Processed device updates" in line and f'"{resource}"' in line for line in new) for resource in resources)

    wait_for(node, f"the kubelet has taken lists of {', '.join(resources)}", all_taken, idle_s=15, evidence=evidence)


def is_allocatable(lines, resource):
    """Whether there is a device to allocate in the end."""
    changes = _allocatable_changes(lines, resource)
    return bool(changes) and changes[-1][1]


def gaps_of(lines, resource):
    """How long each time without a device was, in seconds."""
    gaps, since = [], None
    for when, there in _allocatable_changes(lines, resource):
        if there and since is not None:
            gaps.append((when - since) % 86400)
        since = None if there else since if since is not None else when
    return gaps
