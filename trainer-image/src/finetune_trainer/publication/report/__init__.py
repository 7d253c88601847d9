# SPDX-License-Identifier: Apache-2.0
"""What is told about a run beside its artifact. Pure: values in, text out.

Doors: `page.report_page` and `card.model_card`.

story     what there is to tell
page      the report: one HTML page that needs nothing else
style     how it looks, on light and dark screens
charts    curves and histograms as SVG
tables    rows and facts as HTML
sections  the parts of the page
card      the README of the artifact, as the hub reads it
"""
