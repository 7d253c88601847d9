# SPDX-License-Identifier: Apache-2.0
"""Builds the training plan from a run and a node's hardware; trains nothing.

Door: `training_plan.plan_training`.
"""
