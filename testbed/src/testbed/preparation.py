# SPDX-License-Identifier: Apache-2.0
"""Fetches and builds the requirements of tests before they begin, with visible progress."""

from testbed import base_model, binaries, images, prometheus, requirements
from testbed.narration import say


def prepare_cluster() -> None:
    """Kubernetes, the images, and the model of the examples."""
    say("Kubernetes, the images and a model are built unless they are cached, about 7 GB in total.")
    requirements.install()
    binaries.cluster_programs()
    images.build_pause()
    for image in images.OURS.values():
        images.build(image)
    base_model.folder()


def prepare_control_plane() -> None:
    """An API server with its controllers, a browser, and a Prometheus."""
    requirements.install()
    binaries.cluster_programs()
    requirements.install_package("chromium", command="chromium")
    prometheus.fetch()


def prepare_kueue() -> None:
    """Only one module of the cluster's tests installs it, long after the others have begun."""
    binaries.cluster_programs()
    binaries.build(binaries.KUEUE)


def prepare_peers() -> None:
    """The controllers that ours is compared with."""
    binaries.cluster_programs()
    binaries.build(binaries.PEERS)


PARTS = {
    "cluster": prepare_cluster,
    "control-plane": prepare_control_plane,
    "kueue": prepare_kueue,
    "peers": prepare_peers,
}
