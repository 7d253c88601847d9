# SPDX-License-Identifier: Apache-2.0
"""From a trainer's report to one patch of a job's status, and to nothing else of it.

Doors: `server.build_app` and `writer.ProgressWriter`.
"""
