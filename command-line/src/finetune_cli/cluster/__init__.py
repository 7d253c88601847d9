# SPDX-License-Identifier: Apache-2.0
"""`kubectl finetune`: FineTuneJobs for people who would rather not learn Kubernetes.

Door: `command_line.main`. In reading order: command_line (the commands), kubectl (the only I/O),
watching, job_texts, curves, comparison, completion. All that is told is in the job's status:
nothing else is asked.
"""
