# SPDX-License-Identifier: Apache-2.0
"""Starts this node's ranks, watches them to their end, and tells why they failed; imports no rank.

Door: `rank_supervision.train`.
"""
