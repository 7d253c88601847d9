# SPDX-License-Identifier: Apache-2.0
"""Puts the rooms together, and owns tasks and time; decides nothing about a job.

Doors: `handlers.build_registry` and `replica.Replica`.
"""
