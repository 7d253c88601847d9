# SPDX-License-Identifier: Apache-2.0
"""When to end pods that other containers keep alive after the attempt has ended. No I/O here."""

from datetime import datetime, timedelta

from finetune_operator.job.observe.observation import Held

TIME_TO_END = timedelta(seconds=30)
"""How long other containers may outlive the trainer: those that end by themselves need less."""


def release_time(held: Held) -> datetime:
    return held.since + TIME_TO_END
