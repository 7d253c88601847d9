# SPDX-License-Identifier: Apache-2.0
"""Evaluates the model during training: answers, a user's metrics, early stopping."""
