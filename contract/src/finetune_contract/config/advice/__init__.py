# SPDX-License-Identifier: Apache-2.0
"""What runs and is seldom meant: one function each, in the table `ADVICE`. No I/O here."""

from finetune_contract.config.advice.learning import ADVICE

__all__ = ["ADVICE"]
