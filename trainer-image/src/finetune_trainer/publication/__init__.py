# SPDX-License-Identifier: Apache-2.0
"""Publishes an artifact: files first, its manifest last, then the pointer to it.

Doors: `artifact.publish` and `ownership.claim_output`.
"""
