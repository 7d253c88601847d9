# SPDX-License-Identifier: Apache-2.0
"""Kubernetes concepts as values: names, raw objects, times, conditions, errors.

It imports nothing of this package. Doors: its modules.
"""
