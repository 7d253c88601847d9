# SPDX-License-Identifier: Apache-2.0
"""When the operator ends the pods of an attempt that has ended, which others keep. No I/O here."""

from datetime import datetime, timedelta

from finetune_operator.job.observe.observation import Held

TIME_TO_END = timedelta(seconds=30)
"""How long other containers may outlive the trainer: those that end by themselves need less."""


def release_time(held: Held) -> datetime:
    return held.since + TIME_TO_END
