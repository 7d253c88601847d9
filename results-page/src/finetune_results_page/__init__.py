# SPDX-License-Identifier: Apache-2.0
"""A page that shows jobs to people: a process of its own, which has no rights of its own.

Door: `server.build_app`.
"""
