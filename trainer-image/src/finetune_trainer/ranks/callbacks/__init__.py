# SPDX-License-Identifier: Apache-2.0
"""What the trainer's loop calls, a file for each purpose."""
