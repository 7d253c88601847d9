# SPDX-License-Identifier: Apache-2.0
"""What a config says: TRL's schema, older spellings, launch profiles, and what they resolve to.

It finds no mistake. Doors: `reading.Reading`, `schema.load_schema` and `launch.resolution`.
"""
