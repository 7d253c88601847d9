# SPDX-License-Identifier: Apache-2.0
"""How long a document, and each text in it, may be. No I/O here.

Whoever has a job's token or pod may write anything, and what is kept of it lies in etcd.
"""

MAX_DEPTH = 32
"""Objects and lists within each other, of any document."""

MAX_DOCUMENT_BYTES = 64 * 2**20
"""Of any document: a manifest with some hundred thousand files, and no more."""

MAX_COUNT = 2**62
"""Of what a pod reports, in magnitude: the difference of two of them still fits an int64."""

TEN_YEARS = 10 * 365 * 24 * 3600
"""Seconds. No time that anybody waits for is longer."""

MAX_OUTCOME_BYTES = 4096
"""The kubelet cuts a termination log there."""

MAX_PROGRESS_BYTES = 64 * 1024

MAX_NOTE = 300
"""Characters."""

MAX_NOTES = 8
MAX_NOTE_TEXT = 240
"""Characters of each of them."""
MAX_NOTE_REASON = 48
"""Characters."""

MAX_HARDWARE = 200
"""Characters."""

MAX_DOING = 200
"""Characters of what a trainer does before its first step."""

MAX_UNSAVED = 300
"""Characters of why no checkpoint can be uploaded."""

UNSAVED_SECONDS = 15 * 60
"""For how long no checkpoint may be uploaded before the job has a condition that says so."""

MAX_METRICS = 16
MAX_METRIC_NAME = 64
"""Characters."""

MAX_ANSWERS = 3
MAX_TEXT = 240
"""Characters of a prompt, and of an answer."""
