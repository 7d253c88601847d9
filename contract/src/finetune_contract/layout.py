# SPDX-License-Identifier: Apache-2.0
"""The paths in the object store. No I/O here.

<output uri>/owner.json                      the job that owns this prefix
<output uri>/latest.json                     points at the newest complete run
<output uri>/<run id>/adapter/ | model/      the artifact
<output uri>/<run id>/report/                metrics.jsonl, report, resolved config, trackers' files
<output uri>/<run id>/checkpoints/step-NNNNNNNN/attempt-N/    a checkpoint's files
<output uri>/<run id>/checkpoints/step-NNNNNNNN/manifest.json complete only with this
<output uri>/<run id>/rejected/              artifact and report of a run that failed verification
<output uri>/<run id>/manifest.json          written last: the run is complete
<output uri>/<run id>/model/                 next to adapter/: the merged model, created after it
<output uri>/<run id>/merged.json            its manifest, written last
<output uri>/<run id>/merging.json           the attempt that merges, while it does
<output uri>/<run id>/hub.json               the artifact's location on the hub, after the push
"""

import re

OWNER = "owner.json"
LATEST = "latest.json"
MANIFEST = "manifest.json"
ADAPTER = "adapter"
MODEL = "model"
REPORT = "report"
REJECTED = "rejected"
"""Artifact and report of a run that trained to its end but is unusable."""
CHECKPOINTS = "checkpoints"
HUB = "hub.json"
MERGING = "merging.json"
MERGED = "merged.json"
"""Lists the files of a merged model; those in the run's manifest do not change."""

MAX_STEP = 10**18 - 1
"""A larger one would not fit into a status: no trainer has written it."""

STEP = r"step-([0-9]{8,18})"
_STEP = re.compile(STEP)


def checkpoint_prefix(step: int) -> str:
    """A checkpoint's directory within its run. Eight digits, so that names sort like numbers."""
    return f"{CHECKPOINTS}/step-{step:08d}"


def step_of_manifest(path: str) -> int | None:
    """The step of the checkpoint whose manifest this is, or None for any other path.

    `path` is relative to the run's directory.
    """
    match path.split("/"):
        case [folder, name, file] if folder == CHECKPOINTS and file == MANIFEST:
            step = _STEP.fullmatch(name)
            return None if step is None else int(step[1])
    return None
