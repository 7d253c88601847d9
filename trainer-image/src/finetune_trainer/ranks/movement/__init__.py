# SPDX-License-Identifier: Apache-2.0
"""Checks that training has changed every trained weight.

fingerprint   fingerprints the part of a tensor that this rank holds
account       the facts about each trained tensor, combined over the ranks; pure
participation the tensors with a gradient, and the modules it flows through
watch         takes fingerprints before training and after it
trainer       TRL's trainer with the watch
telling       writes the report
fates         the reason why a tensor is unchanged, and whether that is a failure; pure
"""
