# SPDX-License-Identifier: Apache-2.0
"""Reads the state of a job from its children and its previous status; decides nothing.

Door: `observation.observe`.
"""
