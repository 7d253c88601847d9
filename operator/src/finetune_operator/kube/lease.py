# SPDX-License-Identifier: Apache-2.0
"""Reads and writes the Lease object for `leadership`."""

from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.objects.errors import Conflict
from finetune_operator.objects.names import LEASES, OPERATOR
from finetune_operator.objects.raw import Body


class KubeLease:
    """The operator's only Lease, in its own namespace."""

    def __init__(self, api: KubeApi, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    async def read(self) -> Body | None:
        try:
            return await self._api.get(LEASES, self._namespace, OPERATOR)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def write(self, lease: Body) -> None:
        try:
            if "metadata" in lease:
                await self._api.replace(LEASES, lease)
            else:
                await self._api.create(LEASES, self._first(lease))
        except ApiError as error:
            # Both for "replaced meanwhile" and for "created meanwhile".
            if error.status == 409:
                raise Conflict from error
            raise

    def _first(self, lease: Body) -> Body:
        return {
            "apiVersion": LEASES.api_version,
            "kind": "Lease",
            "metadata": {"namespace": self._namespace, "name": OPERATOR},
            **lease,
        }
