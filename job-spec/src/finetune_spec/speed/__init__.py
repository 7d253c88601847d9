# SPDX-License-Identifier: Apache-2.0
"""Suggests changes that make a run faster, with figures from the memory estimate and operation
counts.

Doors: `advice.find_advice`, `advice.advise_on_speed` and `suggestion.suggest`.

situation    a config with its model, processes and GPU
operations   operations and bytes per token and per pass
rules        one function for each piece of advice, in the table `RULES`
advice       applies the rules in order, each on top of the previous ones
suggestion   all rules that do not change the result

docs/user/memory.md describes the counts and defines "the same result".
"""
