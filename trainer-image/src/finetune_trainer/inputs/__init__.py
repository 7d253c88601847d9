# SPDX-License-Identifier: Apache-2.0
"""Fetches the models, templates and data of a config into the work directory and describes them.

Door: `fetching.fetch`.
"""
