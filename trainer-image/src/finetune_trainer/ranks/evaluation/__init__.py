# SPDX-License-Identifier: Apache-2.0
"""How good the model is while it trains: answers, a user's metrics, stopping early."""
