# SPDX-License-Identifier: Apache-2.0
"""Loads the model to train, adds its new tokens, and freezes it or adds an adapter.

loading        loads a model by name, for training and for verification
tokens         additional tokens and their embeddings
freezing       freezes all but the last layers
recomputation  activation checkpointing
modes          a model that is only evaluated
adapter        the LoRA adapter from TRL's keys, with the new tokens' embeddings
"""
