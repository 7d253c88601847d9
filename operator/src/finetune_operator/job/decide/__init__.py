# SPDX-License-Identifier: Apache-2.0
"""Decides the next action for a job: a list of rules, the first match wins.

Door: `decision.decide`.
"""
