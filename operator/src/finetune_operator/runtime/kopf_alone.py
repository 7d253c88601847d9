# SPDX-License-Identifier: Apache-2.0
"""kopf, imported without the Kubernetes client: all code that uses kopf imports it from here.

If that client is installed, kopf imports all of it, to recognise its types in handler arguments.
That is half of the operator's start time, and no handler here uses these types.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

CLIENT = "kubernetes"


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Within this context, an import of the module fails as if it were not installed."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment] # import refuses it
    try:
        yield
    finally:
        del sys.modules[name]


with _hidden(CLIENT):
    import kopf

__all__ = ["kopf"]
