# SPDX-License-Identifier: Apache-2.0
"""Everything that users read of a job: its status, and the Events at its turning points.

Doors: `status.next_status` and `events.find_turning_points`.
"""
