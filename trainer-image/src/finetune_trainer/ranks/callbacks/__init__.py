# SPDX-License-Identifier: Apache-2.0
"""Callbacks of the training loop, one file per purpose."""
