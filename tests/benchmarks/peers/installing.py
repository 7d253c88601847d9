# SPDX-License-Identifier: Apache-2.0
"""Either side on a control plane of its own."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers import ours, trainer
from benchmarks.peers.sides import Place, Side
from testbed.control_plane import ControlPlane


@contextmanager
def installed(
    environment: Mapping[str, str] | None, *, audited: bool = False
) -> Iterator[tuple[ControlPlane, Side]]:
    """Our side in this environment, or theirs without one; its controllers do not run yet."""
    with (
        ControlPlane.up(audited=audited, durable=True) as plane,
        tempfile.TemporaryDirectory() as folder,
    ):
        place = Place(plane=plane, folder=Path(folder))
        side = trainer.install(place) if environment is None else ours.install(place, environment)
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        yield plane, side
