# SPDX-License-Identifier: Apache-2.0
"""Responses of the API server and requested URLs as bounded values; pure, without HTML.

Users write names, configs and metrics, so every value here is checked, cut or dropped once.
Doors: `query.parse_query`, `rows.parse_rows`, `selection.select` and `comparison.differences`.
"""
