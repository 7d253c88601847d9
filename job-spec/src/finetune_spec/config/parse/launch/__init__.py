# SPDX-License-Identifier: Apache-2.0
"""`accelerate_config`: a profile by name, or what `accelerate config` writes. No I/O here.

profiles     those that have a name; `configs/accelerate/` holds them as files, generated from here
options      what an accelerate config may say, and what SFTConfig calls it
checking     what is wrong with one by itself
resolution   one -> the keys of SFTConfig that say the same

Nothing downstream of `resolution` knows that there was a profile: rules, memory estimate and ranks
read `fsdp`, `fsdp_config`, `deepspeed` and `env`, whoever wrote them.
"""
