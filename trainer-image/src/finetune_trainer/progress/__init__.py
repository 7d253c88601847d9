# SPDX-License-Identifier: Apache-2.0
"""How an attempt stands, for whoever listens; a listener that fails harms no attempt.

Door: `reporting.Reporter`.
"""
