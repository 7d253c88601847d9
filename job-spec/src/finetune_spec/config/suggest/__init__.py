# SPDX-License-Identifier: Apache-2.0
"""From what somebody wrote to what they meant: other tools' words, and words that are nearly right.

It never says that a config is wrong. Door: `unknown.read_unknown`.
"""
