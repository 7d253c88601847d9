# SPDX-License-Identifier: Apache-2.0
"""Suggests the intended key or value for other tools' names and for typing errors.

It never reports that a config is wrong. Door: `unknown.read_unknown`.
"""
