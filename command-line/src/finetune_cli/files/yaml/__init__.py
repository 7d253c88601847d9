# SPDX-License-Identifier: Apache-2.0
"""YAML as kubectl reads it, with the line of everything in it. No I/O here.

Door: `source_lines.read_documents`.
"""
