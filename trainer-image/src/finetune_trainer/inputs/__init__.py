# SPDX-License-Identifier: Apache-2.0
"""Brings the models, templates and data that a config names into the work folder, and knows them.

Door: `fetching.fetch`.
"""
