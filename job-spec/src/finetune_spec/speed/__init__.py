# SPDX-License-Identifier: Apache-2.0
"""What makes a run faster: rules, each with its figure from the memory estimate and a stated count.

Doors: `advice.find_advice`, `advice.advise_on_speed` and `suggestion.suggest`.

situation    a config with the model, the processes and the GPU that it meets
operations   how many operations and bytes a token and a pass cost
rules        one function for each piece of advice, in the table `RULES`
advice       the rules in their order, each on top of those before it
suggestion   all of them that leave the result as it is

What is counted, and what "the same result" means, is in docs/user/memory.md.
"""
