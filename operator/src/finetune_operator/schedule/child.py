# SPDX-License-Identifier: Apache-2.0
"""build_child: the FineTuneJob of one scheduled time. No I/O here."""

from datetime import datetime

from finetune_operator.objects.names import (
    ANNOTATION_SCHEDULED_AT,
    API_VERSION,
    KIND,
    LABEL_SCHEDULE,
    SCHEDULE_KIND,
    job_label,
    scheduled_name,
)
from finetune_operator.objects.raw import Manifest
from finetune_operator.objects.times import render_time
from finetune_operator.schedule.spec import Schedule


def build_child(schedule: Schedule, moment: datetime) -> Manifest:
    metadata, spec = schedule.template.get("metadata") or {}, schedule.template["spec"]
    # Jobs of one config would be one run, which is trained once: each time needs a run of its own.
    token = " ".join(filter(None, (spec.get("runToken"), render_time(moment))))
    local = moment.astimezone(schedule.table.zone)
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "namespace": schedule.namespace,
            "name": scheduled_name(schedule.name, moment),
            "labels": {**metadata.get("labels", {}), LABEL_SCHEDULE: job_label(schedule.name)},
            "annotations": {
                **metadata.get("annotations", {}),
                ANNOTATION_SCHEDULED_AT: local.isoformat(timespec="seconds"),
            },
            # Without blockOwnerDeletion: it would require permission to set finalizers on
            # schedules.
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": SCHEDULE_KIND,
                    "name": schedule.name,
                    "uid": schedule.uid,
                    "controller": True,
                }
            ],
        },
        "spec": {**spec, "runToken": token},
    }
