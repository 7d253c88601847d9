# SPDX-License-Identifier: Apache-2.0
"""What to do next about a job: rules, of which the first that matches wins.

Door: `decision.decide`.
"""
