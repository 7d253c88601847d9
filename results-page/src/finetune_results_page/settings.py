# SPDX-License-Identifier: Apache-2.0
"""The settings of the page, from its environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSettings:
    """Each field names its environment variable."""

    api_server: str
    """API_SERVER: its URL; detected automatically in a pod."""
    ca_file: str
    """API_SERVER_CA: the CA certificates for the API server."""
    listen_address: str
    """LISTEN_ADDRESS."""
    port: int
    """PORT."""
    log_level: str
    """LOG_LEVEL."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "PageSettings":
        """
        Raises:
            ValueError: a variable is missing or invalid; the message names it.
        """
        port = env.get("PORT") or "8082"
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"PORT is {port!r}, expected a port from 1 to 65535")
        return cls(
            api_server=_api_server(env).rstrip("/"),
            ca_file=env.get("API_SERVER_CA") or "/etc/finetune/api-server/ca.crt",
            listen_address=env.get("LISTEN_ADDRESS", "0.0.0.0"),  # noqa: S104 - a Service leads here
            port=int(port),
            log_level=env.get("LOG_LEVEL", "INFO"),
        )


def _api_server(env: Mapping[str, str]) -> str:
    if given := env.get("API_SERVER"):
        if not given.startswith("https://"):
            raise ValueError(f"API_SERVER is {given!r}, expected https://: tokens are sent there")
        return given
    host, port = env.get("KUBERNETES_SERVICE_HOST"), env.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ValueError("API_SERVER is missing: it is required outside a pod")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
