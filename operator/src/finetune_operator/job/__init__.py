# SPDX-License-Identifier: Apache-2.0
"""One FineTuneJob from body to status; all modules but `reconcile` are pure, none has a client.

The outside world is the protocol `cluster.JobCluster`. Door: `reconcile.reconcile`.
"""
