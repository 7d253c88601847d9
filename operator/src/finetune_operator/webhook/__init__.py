# SPDX-License-Identifier: Apache-2.0
"""Answers admission reviews; never reads the cluster to do so.

Door: `registration.build_webhook`.
"""
