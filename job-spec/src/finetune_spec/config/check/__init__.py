# SPDX-License-Identifier: Apache-2.0
"""Reports each error of a config in one sentence that includes the correction.

Doors: the tables of its modules.
"""
