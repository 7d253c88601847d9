# SPDX-License-Identifier: Apache-2.0
"""IP addresses and ports inside a cluster."""

NODE = "node-0"
NODE_ADDRESS = "10.244.255.1"
API_PORT = 6443
PODS = "10.244.0.0/16"
PODS_OF_NODE = "10.244.0.0/24"
SERVICES = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
"""The first address of the Services is the API server's own."""
