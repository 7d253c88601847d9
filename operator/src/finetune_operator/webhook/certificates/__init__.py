# SPDX-License-Identifier: Apache-2.0
"""Creates, reads and renews the certificates by which the API server trusts the webhook.

Doors: `rotation.SelfSigned` and `rotation.Mounted`.
"""
