# SPDX-License-Identifier: Apache-2.0
"""`kubectl finetune`: manages FineTuneJobs for people who do not know Kubernetes.

Door: `command_line.main`. In reading order: command_line (the commands), kubectl (the only I/O),
watching, job_texts, curves, comparison, completion. Everything shown comes from the job's status;
no other source is read.
"""
