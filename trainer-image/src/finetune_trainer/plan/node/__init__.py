# SPDX-License-Identifier: Apache-2.0
"""What this node and its image have, and whether it is what a job was promised and needs; no torch.

Doors: `gpu_probe.find_hardware` and `gpu_check.require_gpus`.
"""
