# SPDX-License-Identifier: Apache-2.0
"""Values that must go together: one function each, in the table `RULES`. No I/O here.

Each function says by whom, and when, its combination would be refused: then a GPU has already been
asked for, and often the model been loaded.

schedule       evaluating, saving, the learning rate's course
evaluation     what evaluations judge by
precision      what numbers are computed in, and on what
tuning         the whole model or an adapter, quantized or not
data           where it comes from, how long its rows are, how it is packed and read
shaping        what data in a shape of its own is made of
tracking       trackers and the hub, and their secrets
distribution   several processes
deepspeed      DeepSpeed's own config against ours
launch         a profile against the keys it stands for, and against the job
"""

from finetune_spec.config.check.rules import (
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
    *data.RULES,
    *shaping.RULES,
    *tracking.RULES,
    *distribution.RULES,
    *deepspeed.RULES,
    *launch.RULES,
)
