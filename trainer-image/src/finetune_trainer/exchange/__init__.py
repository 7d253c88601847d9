# SPDX-License-Identifier: Apache-2.0
"""What the supervisor and its ranks leave for each other in the work folder; knows no store.

Door: `workspace.Workspace`.
"""
