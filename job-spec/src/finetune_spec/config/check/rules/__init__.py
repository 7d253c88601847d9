# SPDX-License-Identifier: Apache-2.0
"""Checks values that must agree: one function each in the table `RULES`. No I/O here.

Each function names the library that would refuse its combination, and when: by then a GPU has been
allocated, and often the model has been loaded.

schedule       evaluating, saving, the learning rate's course
evaluation     metrics of evaluations
precision      data types, and the hardware that supports them
tuning         the full model or an adapter, quantized or not
adapters       an adapter in place of a model
data           its location, length of rows, packing and reading
shaping        column mappings of data in custom formats
tracking       trackers and the hub, and their secrets
distribution   several processes
deepspeed      DeepSpeed's own config against ours
launch         a profile against the keys it resolves to, and against the job
"""

from finetune_spec.config.check.rules import (
    adapters,
    data,
    deepspeed,
    distribution,
    evaluation,
    launch,
    precision,
    schedule,
    shaping,
    tracking,
    tuning,
)

RULES = (
    *schedule.RULES,
    *evaluation.RULES,
    *precision.RULES,
    *tuning.RULES,
    *adapters.RULES,
    *data.RULES,
    *shaping.RULES,
    *tracking.RULES,
    *distribution.RULES,
    *deepspeed.RULES,
    *launch.RULES,
)
