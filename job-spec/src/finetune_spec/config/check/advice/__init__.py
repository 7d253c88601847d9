# SPDX-License-Identifier: Apache-2.0
"""Warns about valid but suspicious settings: one function each in the table `ADVICE`. No I/O here.

A correct config of a usual kind gets no warning.

idle           keys that TRL ignores because of other keys
learning       learning rate, duration and amount of data
evaluation     evaluations that are missing or incomplete
running        checkpoints, logging and time
packages       packages that the stock trainer image lacks
"""

from finetune_spec.config.check.advice import evaluation, idle, learning, packages, running

ADVICE = (
    *idle.ADVICE,
    *learning.ADVICE,
    *evaluation.ADVICE,
    *running.ADVICE,
    *packages.ADVICE,
)
