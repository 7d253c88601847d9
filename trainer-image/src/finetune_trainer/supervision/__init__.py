# SPDX-License-Identifier: Apache-2.0
"""Starts this node's ranks, watches them to their end, and tells why they failed; imports no rank.

Doors: `rank_supervision.train` and `merging.merge`.
"""
