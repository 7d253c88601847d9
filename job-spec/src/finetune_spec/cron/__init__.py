# SPDX-License-Identifier: Apache-2.0
"""Parses cron expressions and computes their times exactly as robfig/cron v3 does for CronJobs.

Doors: `expression.parse_cron` and `times.next_time`.

- `expression`: parses a text into a `Cron` or an `Every`.
- `go_duration`: the `1h30m` of `@every`.
- `zones`: resolves the name of a time zone.
- `times`: the next time of an expression in that zone; around clock changes to the second as
  Kubernetes does it, which no library for Python does (docs/decisions/0016).

Kubernetes' own code is the only reference;
`tests/operator/schedule/test_cron_like_kubernetes.py` compares with it.
"""
