# SPDX-License-Identifier: Apache-2.0
"""What the API server returns and what an address requests, as bounded values; pure, without HTML.

Users write names, configs and metrics, so every value here is checked, cut or dropped once.
Doors: `query.parse_query`, `rows.parse_rows`, `selection.select` and `comparison.differences`.
"""
