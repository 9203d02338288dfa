# SPDX-License-Identifier: Apache-2.0
"""The cluster that the cases of the chart share, and the one release on it."""

import pytest

import captured_node
import chart
import program_images
import sysfs_tree
from vlab import cluster as clusters


@pytest.fixture(scope="session", name="cluster")
def cluster_fixture(tmp_path_factory):
    """A cluster with the images of the programs and the captured machine."""
    tree = tmp_path_factory.mktemp("sysfs")
    sysfs_tree.unpack(captured_node.SHAPE, tree)
    archives = program_images.archives("amd64")
    cluster = clusters.Cluster("test-chart").up(mounts=[(tree, captured_node.TREE)], bound=True)
    try:
        captured_node.add_device_nodes(cluster)
        for archive in archives:
            cluster.load(archive)
        yield cluster
    finally:
        cluster.down()


@pytest.fixture(scope="session", name="session_release")
def session_release_fixture(cluster):
    """The one release of all cases."""
    return chart.Release(cluster, captured_node.VALUES)


@pytest.fixture(name="release")
def release_fixture(session_release, request):
    """The release with its values, all of it ready. The logs are kept if a case fails on it."""
    with chart.logs_kept_on_failure(request, session_release.cluster):
        session_release.ensure()
        yield session_release


@pytest.fixture(name="fresh")
def fresh_fixture(session_release, request):
    """The release, not installed. The logs are kept if a case fails on it."""
    with chart.logs_kept_on_failure(request, session_release.cluster):
        session_release.uninstall()
        yield session_release
