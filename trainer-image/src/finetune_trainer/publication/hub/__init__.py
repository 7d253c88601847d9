# SPDX-License-Identifier: Apache-2.0
"""Pushes to the hub for `push_to_hub`, from the supervisor and never from the ranks.

Doors: `publishing.push_complete` and `checkpoints.CheckpointPusher`.

destination   the target repository, from the config. Pure
client        the required requests, retried where a retry may help
checkpoints   pushes during training, according to `hub_strategy`
publishing    the verified artifact, once it is complete in the object store

A push from the ranks would hold every GPU while it waits for the hub, and would publish an
unverified artifact that contains paths of the work directory.
"""
