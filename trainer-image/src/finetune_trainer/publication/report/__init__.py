# SPDX-License-Identifier: Apache-2.0
"""Writes the report and model card of a run. Pure: values in, text out.

Doors: `page.report_page` and `card.model_card`.

story     the facts of the run
page      the report: one self-contained HTML page, from `templates/`
curves    the available curves
charts    curves and histograms as SVG
amounts   figures and counts in words
card      the README of the artifact in the hub's format
"""
