# SPDX-License-Identifier: Apache-2.0
"""What anybody in the cluster may cost a server of ours: connections, bytes and time, by peer.

Doors: `connections.Connections` and `bodies.Bodies`.
"""
