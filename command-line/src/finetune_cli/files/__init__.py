# SPDX-License-Identifier: Apache-2.0
"""Files of jobs, schedules and configs: what they hold, what is wrong, and in which line; no I/O.

Doors: `file_check.check_file` and `job_file.parse_job`.
"""
