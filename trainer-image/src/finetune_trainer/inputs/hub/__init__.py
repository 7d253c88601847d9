# SPDX-License-Identifier: Apache-2.0
"""Models of the hub: one download for a node, by a process of its own, before any rank starts.

Door: `fetching.fetch_from_hub`.
"""
