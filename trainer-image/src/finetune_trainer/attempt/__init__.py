# SPDX-License-Identifier: Apache-2.0
"""The straight line of one attempt: fetch, check, train, verify, publish; extras last.

Every ending is an outcome. Doors: `stages.carry_out` and `supervisor.main`.
"""
