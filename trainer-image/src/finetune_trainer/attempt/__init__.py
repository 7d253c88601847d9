# SPDX-License-Identifier: Apache-2.0
"""Runs the steps of one attempt: fetch, check, train, verify, publish; extras last.

Every attempt ends with an outcome. Doors: `stages.carry_out` and `supervisor.main`.
"""
