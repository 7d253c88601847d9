# SPDX-License-Identifier: Apache-2.0
"""Attention over flat rows: several sequences concatenated in one row, without padding.

transformers passes sdpa a mask over all pairs of tokens, which rules out both of torch's
flash kernels. `torch.nn.attention.varlen` takes the sequence borders from TRL's collator instead.

varlen   the attention itself, with the kernels or sequence by sequence, and its mask
batch    whether the current batch is flat, and its borders
masks    masks from the borders, for architectures whose attention requires one
choice   whether a loaded model uses it, and the alternative
trainer  TRL's trainer, which marks flat batches
rows_apart   tests before training whether an unmeasured model keeps rows separate
"""
