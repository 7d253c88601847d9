# SPDX-License-Identifier: Apache-2.0
"""`finetune`: job files checked, planned, run and downloaded for a person, without a cluster.

Door: `command_line.console`.
"""
