# SPDX-License-Identifier: Apache-2.0
"""The outside world: the only room that asks the API server, or a hub, for anything.

It decides nothing about a job. Doors: `jobs.KubeCluster`, `schedules.KubeSchedules`,
`cache.ObjectCache` and `client.KubeApi`.
"""
