# SPDX-License-Identifier: Apache-2.0
"""Where things lie in the object store. No I/O here.

<output uri>/owner.json                      the job that owns this prefix
<output uri>/latest.json                     points at the newest complete run
<output uri>/<run id>/adapter/ | model/      the artifact
<output uri>/<run id>/report/                metrics.jsonl, report, resolved config, trackers' files
<output uri>/<run id>/checkpoints/step-NNNNNNNN/attempt-N/    a checkpoint's files
<output uri>/<run id>/checkpoints/step-NNNNNNNN/manifest.json complete only with this
<output uri>/<run id>/rejected/              artifact and report of a run that failed verification
<output uri>/<run id>/manifest.json          written last: the run is complete
<output uri>/<run id>/model/                 beside adapter/: the merged model, made after it
<output uri>/<run id>/merged.json            its manifest, written last
<output uri>/<run id>/merging.json           the attempt that merges, while it does
<output uri>/<run id>/hub.json               where on the hub the artifact is, once it is there
"""

OWNER = "owner.json"
LATEST = "latest.json"
MANIFEST = "manifest.json"
ADAPTER = "adapter"
MODEL = "model"
REPORT = "report"
REJECTED = "rejected"
"""Artifact and report of a run that was trained to its end and is not fit for use."""
CHECKPOINTS = "checkpoints"
HUB = "hub.json"
MERGING = "merging.json"
MERGED = "merged.json"
"""Lists the files of a merged model; the manifest's own stay as they were."""


def checkpoint_prefix(step: int) -> str:
    """A checkpoint's folder within its run. Eight digits, so that names sort as numbers do."""
    return f"{CHECKPOINTS}/step-{step:08d}"


def step_of_manifest(path: str) -> int | None:
    """The step of the checkpoint whose manifest this is, or None for any other path.

    `path` is relative to the run's folder.
    """
    match path.split("/"):
        case [folder, step, name] if folder == CHECKPOINTS and name == MANIFEST:
            digits = step.removeprefix("step-")
            return int(digits) if step.startswith("step-") and digits.isdecimal() else None
    return None
