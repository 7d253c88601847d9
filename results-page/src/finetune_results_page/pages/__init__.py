# SPDX-License-Identifier: Apache-2.0
"""The HTML of each view, out of values of `model`; pure: reads no clock, no file and no cluster.

Every text becomes markup in `markup.tag` only, which escapes it.
Doors: `job_list.show_list`, `job.show_job`, `comparison.show_comparison` and `frame.complete_page`.
"""
