# SPDX-License-Identifier: Apache-2.0
"""The only room that sends requests to the API server or to a hub.

It decides nothing about a job. Doors: `jobs.KubeCluster`, `schedules.KubeSchedules`,
`cache.ObjectCache` and `client.KubeApi`.
"""
