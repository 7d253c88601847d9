# SPDX-License-Identifier: Apache-2.0
"""Limits the connections, bytes and time that each peer may use of our servers.

Doors: `connections.Connections` and `bodies.Bodies`.
"""
