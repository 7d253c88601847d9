# SPDX-License-Identifier: Apache-2.0
"""The HTML of each view, from values of `model`; pure: reads no clock, no file and no cluster.

Only `markup.tag` turns text into markup, and it escapes the text.
Doors: `job_list.show_list`, `job.show_job`, `comparison.show_comparison` and `frame.complete_page`.
"""
