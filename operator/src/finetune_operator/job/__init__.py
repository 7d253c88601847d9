# SPDX-License-Identifier: Apache-2.0
"""One FineTuneJob from body to status; all but `reconcile` is pure, and none knows a client.

The outside world is the protocol `cluster.JobCluster`. Door: `reconcile.reconcile`.
"""
