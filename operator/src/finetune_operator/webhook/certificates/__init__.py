# SPDX-License-Identifier: Apache-2.0
"""Why the API server believes the webhook: certificates, made, read, and replaced in time.

Doors: `rotation.SelfSigned` and `rotation.Mounted`.
"""
