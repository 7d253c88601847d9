# SPDX-License-Identifier: Apache-2.0
"""Attention over flat rows: sequences that lie one behind the other in one row, without padding.

transformers hands sdpa a mask of all pairs of their tokens, with which torch takes neither of its
flash kernels. `torch.nn.attention.varlen` takes the borders instead, which TRL's collator gives.

varlen   the attention itself, by the kernels or one sequence after the other, and its mask
batch    whether the batch that is computed is flat, and by which borders
masks    masks by the borders, for architectures whose attention can't do without one
choice   whether a loaded model gets it, and what it gets instead
trainer  TRL's trainer, which says when a batch is flat
rows_apart   whether a model that nobody has measured keeps rows apart, tried before training
"""
