# SPDX-License-Identifier: Apache-2.0
"""Reads and checks files of jobs, schedules and configs, with the line of each problem; no I/O.

Doors: `file_check.check_file` and `job_file.parse_job`.
"""
