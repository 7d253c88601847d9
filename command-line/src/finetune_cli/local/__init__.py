# SPDX-License-Identifier: Apache-2.0
"""`finetune`: checks, plans and runs job files and downloads results, without a cluster.

Door: `command_line.console`.
"""
