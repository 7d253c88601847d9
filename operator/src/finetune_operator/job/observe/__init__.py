# SPDX-License-Identifier: Apache-2.0
"""What the children of a job show, on top of what its status remembers; decides nothing.

Door: `observation.observe`.
"""
