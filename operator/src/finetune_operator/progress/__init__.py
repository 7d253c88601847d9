# SPDX-License-Identifier: Apache-2.0
"""Turns each trainer's report into one patch of the reported part of its job's status.

Doors: `server.build_app` and `writer.ProgressWriter`.
"""
