# SPDX-License-Identifier: Apache-2.0
"""Cron expressions as CronJobs have them: what robfig/cron v3 reads, and when it says they are due.

Doors: `expression.parse_cron` and `times.next_time`.

- `expression`: a text becomes a `Cron` or an `Every`.
- `go_duration`: the `1h30m` of `@every`.
- `zones`: the name of a time zone becomes the zone.
- `times`: when an expression is due next, in that zone; around clock changes to the second as
  Kubernetes does it, which no library for Python does (docs/decisions/0016).

The only guide to what is right is Kubernetes itself;
`tests/operator/schedule/test_cron_like_kubernetes.py` compares with its own code.
"""
