# SPDX-License-Identifier: Apache-2.0
"""The model that is trained: loaded, given its new tokens, frozen or given an adapter.

loading        from a name to a model, for training and for verifying alike
tokens         a vocabulary with more tokens, and their embeddings
freezing       all but the last layers stay as they are
recomputation  which activations are computed again
modes          a model that is only looked at
adapter        the LoRA that TRL's keys describe, with the new tokens' embeddings
"""
