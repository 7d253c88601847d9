# SPDX-License-Identifier: Apache-2.0
"""Downloads models from the hub once per node, in a separate process, before any rank starts.

Door: `fetching.fetch_from_hub`.
"""
