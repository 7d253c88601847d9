# SPDX-License-Identifier: Apache-2.0
"""Describes a failure after the artifact is complete. No I/O here."""

from dataclasses import replace

from finetune_trainer.failures.errors import AttemptFailed


def complete_all_the_same(error: AttemptFailed, uri: str) -> AttemptFailed:
    """The same failure, with the note that nothing is lost."""
    failure = error.failure
    message = f"{failure.message}; training is complete, and the artifact is available at {uri}"
    return AttemptFailed(replace(failure, message=message))
