# SPDX-License-Identifier: Apache-2.0
"""The web page that shows jobs: a separate process without permissions of its own.

Door: `server.build_app`.
"""
