# SPDX-License-Identifier: Apache-2.0
"""The maximum length of a document, and of each text in it. No I/O here.

A holder of a job's token or pod may write anything, and parts of it are stored in etcd.
"""

MAX_DEPTH = 32
"""Nested objects and lists, in any document."""

MAX_DOCUMENT_BYTES = 64 * 2**20
"""Limit for any document: enough for a manifest with some hundred thousand files."""

MAX_COUNT = 2**62
"""Limit for the magnitude of a reported count: a difference of two still fits an int64."""

TEN_YEARS = 10 * 365 * 24 * 3600
"""Seconds. The longest duration that makes sense."""

MAX_OUTCOME_BYTES = 4096
"""The kubelet cuts a termination message there."""

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
"""Characters of a trainer's activity before its first step."""

MAX_UNSAVED = 300
"""Characters of the reason why no checkpoint can be uploaded."""

UNSAVED_SECONDS = 15 * 60
"""The time without an uploaded checkpoint after which the job gets a condition."""

MAX_METRICS = 16
MAX_METRIC_NAME = 64
"""Characters."""

MAX_ANSWERS = 3
MAX_TEXT = 240
"""Characters of a prompt, and of an answer."""
