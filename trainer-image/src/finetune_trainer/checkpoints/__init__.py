# SPDX-License-Identifier: Apache-2.0
"""Checkpoints in the store: their manifest is written last, and none is believed without it.

Doors: `checkpoints.fetch_newest` and `upload.CheckpointUploader`.
"""
