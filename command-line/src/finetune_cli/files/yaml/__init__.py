# SPDX-License-Identifier: Apache-2.0
"""Reads YAML as kubectl does and keeps the line of each value. No I/O here.

Door: `source_lines.read_documents`.
"""
