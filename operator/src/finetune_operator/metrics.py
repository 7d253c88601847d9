# SPDX-License-Identifier: Apache-2.0
"""What is counted, for Prometheus."""

import logging

from prometheus_client import Counter

_REQUESTS = Counter(
    "finetune_operator_api_requests",
    "Requests to the API server, watches aside, by the code it answered; <error> is no answer.",
    ["method", "resource", "code"],
)
_WATCH_ERRORS = Counter(
    "finetune_operator_watch_errors",
    "Watches that the API server refused, or that broke while they were opened.",
)


def count_request(method: str, resource: str, code: int | None) -> None:
    _REQUESTS.labels(method=method, resource=resource, code=code or "<error>").inc()


class WatchErrors(logging.Handler):
    """Counts what kopf says of its watches, since it has no other way to tell."""

    LOGGER = "kopf._cogs.clients.watching"

    def emit(self, record: logging.LogRecord) -> None:
        _WATCH_ERRORS.inc()
