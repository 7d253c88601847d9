# SPDX-License-Identifier: Apache-2.0
"""Reports the progress of an attempt to all receivers; a failing receiver never fails the attempt.

Door: `reporting.Reporter`.
"""
