# SPDX-License-Identifier: Apache-2.0
"""Checks that this node and its image have the hardware and packages that the job needs; no torch.

Doors: `gpu_probe.find_hardware` and `gpu_check.require_gpus`.
"""
