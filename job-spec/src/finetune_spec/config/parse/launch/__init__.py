# SPDX-License-Identifier: Apache-2.0
"""`accelerate_config`: a profile by name, or a file written by `accelerate config`. No I/O here.

profiles     the named profiles; the files in `configs/accelerate/` are generated from here
options      the keys of an accelerate config, and their names in SFTConfig
checking     problems of a profile by itself
resolution   a profile -> the equivalent keys of SFTConfig

Code downstream of `resolution` never sees a profile: rules, memory estimate and ranks read `fsdp`,
`fsdp_config`, `deepspeed` and `env`, whatever their source.
"""
