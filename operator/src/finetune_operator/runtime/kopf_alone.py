# SPDX-License-Identifier: Apache-2.0
"""kopf, imported without the Kubernetes client: whoever needs kopf takes it from here.

Where that client is installed, kopf imports all of it, to recognise its types in what handlers are
given. That is half of the operator's start, and no handler here is given any.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

CLIENT = "kubernetes"


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """For as long as this lasts, an import of the module fails as if it were not installed."""
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
