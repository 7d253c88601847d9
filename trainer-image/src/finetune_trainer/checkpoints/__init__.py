# SPDX-License-Identifier: Apache-2.0
"""Stores and restores checkpoints; the manifest is written last, and a checkpoint without one is
ignored.

Doors: `checkpoints.fetch_newest` and `upload.CheckpointUploader`.
"""
