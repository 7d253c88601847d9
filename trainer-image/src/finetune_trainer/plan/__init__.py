# SPDX-License-Identifier: Apache-2.0
"""From a run and a node's hardware to what is trained, how, and with what; trains nothing.

Door: `training_plan.plan_training`.
"""
