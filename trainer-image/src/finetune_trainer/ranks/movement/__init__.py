# SPDX-License-Identifier: Apache-2.0
"""Whether training has moved every weight that it was to move.

fingerprint   of the part of a tensor that this rank holds
account       what is known of each trained tensor, put together over the ranks; pure
participation what has a gradient, and through which modules it comes
watch         takes fingerprints before training and after it
trainer       TRL's trainer that watches
telling       writes it down
fates         why a tensor has not changed, and whether that is a failure; pure
"""
