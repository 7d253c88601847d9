# SPDX-License-Identifier: Apache-2.0
"""What is told about a run beside its artifact. Pure: values in, text out.

Doors: `page.report_page` and `card.model_card`.

story     what there is to tell
page      the report: one HTML page that needs nothing else, written in `templates/`
curves    which curves there are
charts    curves and histograms as SVG
amounts   figures and counts in words
card      the README of the artifact, as the hub reads it
"""
