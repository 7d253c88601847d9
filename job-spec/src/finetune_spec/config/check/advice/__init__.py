# SPDX-License-Identifier: Apache-2.0
"""What runs and is seldom meant: one function each, in the table `ADVICE`. No I/O here.

A correct config of a usual kind gets none.

idle           keys that TRL ignores because of other keys
learning       how fast, how long and on how much is learnt
evaluation     what evaluations run, and what they leave out
running        what a run leaves behind, shows, and spends its time on
packages       what the stock trainer image lacks
"""

from finetune_spec.config.check.advice import evaluation, idle, learning, packages, running

ADVICE = (
    *idle.ADVICE,
    *learning.ADVICE,
    *evaluation.ADVICE,
    *running.ADVICE,
    *packages.ADVICE,
)
