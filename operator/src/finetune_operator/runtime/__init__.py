# SPDX-License-Identifier: Apache-2.0
"""Combines the rooms, and owns tasks and time; decides nothing about a job.

Doors: `handlers.build_registry` and `replica.Replica`.
"""
