# SPDX-License-Identifier: Apache-2.0
"""What is told of the operator itself: lines of a log, and counts for Prometheus.

It knows no job. Doors: `logs.say` and `metrics`.
"""
