# SPDX-License-Identifier: Apache-2.0
"""Errors, their categories, log lines, redaction and the stop request; no torch here.

It imports nothing of this package. Doors: `errors.AttemptFailed`, `classification.classify`,
`redaction.Redaction`, `log_lines.set_up_log` and `stopping.StopRequest`.
"""
