# SPDX-License-Identifier: Apache-2.0
"""The operator's own log lines and Prometheus metrics.

It imports no job code. Doors: `logs.say` and `metrics`.
"""
