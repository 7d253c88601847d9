# SPDX-License-Identifier: Apache-2.0
"""Reads a config by TRL's schema and resolves older spellings and launch profiles.

It reports no errors. Doors: `reading.Reading`, `schema.load_schema` and `launch.resolution`.
"""
