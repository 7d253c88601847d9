# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, whose mistake it is, what is told of it, and the wish to stop; no torch here.

It imports nothing of this package. Doors: `errors.AttemptFailed`, `classification.classify`,
`redaction.Redaction`, `log_lines.set_up_log` and `stopping.StopRequest`.
"""
