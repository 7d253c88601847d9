# SPDX-License-Identifier: Apache-2.0
"""Starts this node's ranks, watches them and reports why they failed; imports no code of the ranks.

Doors: `rank_supervision.train` and `merging.merge`.
"""
