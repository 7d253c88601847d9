# SPDX-License-Identifier: Apache-2.0
"""Files that supervisor and ranks exchange in the work directory; uses no store.

Door: `workspace.Workspace`.
"""
