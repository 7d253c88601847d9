# SPDX-License-Identifier: Apache-2.0
"""What `push_to_hub` asks for, done by the supervisor and never by the ranks.

Doors: `publishing.push_complete` and `checkpoints.CheckpointPusher`.

destination   where to push, from the config. Pure
client        the few requests that are needed, tried again where that may help
checkpoints   pushes while training goes on, as `hub_strategy` says
publishing    the verified artifact, once it is complete in the object store

The ranks' own push would wait for the hub with every GPU held, and would publish what nobody has
verified yet, with the paths of a work folder in it.
"""
