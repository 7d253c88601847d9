# SPDX-License-Identifier: Apache-2.0
"""Builds a job's status and its Events, the parts that users read.

Doors: `status.next_status` and `events.find_turning_points`.
"""
