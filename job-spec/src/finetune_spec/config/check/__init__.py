# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a config, each mistake in one sentence with the right thing in it.

Doors: the tables of its modules.
"""
