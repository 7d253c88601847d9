# SPDX-License-Identifier: Apache-2.0
"""KubeTotals: counters in a ConfigMap, which survive a change of leader."""

import json
from collections.abc import Mapping
from typing import Any

from finetune_contract.documents import value_in
from finetune_operator.kube.client import ApiError, KubeApi
from finetune_operator.objects.errors import Conflict
from finetune_operator.objects.names import CONFIG_MAPS, TOTALS
from finetune_operator.objects.raw import Body
from finetune_operator.objects.tally import Series

KEY = "totals.json"


class KubeTotals:
    """Read before it is written: exactly the version that was read is replaced."""

    def __init__(self, api: KubeApi, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._version: str | None = None

    async def read(self) -> Mapping[Series, float]:
        try:
            found = await self._api.get(CONFIG_MAPS, self._namespace, TOTALS)
        except ApiError as error:
            if error.status != 404:
                raise
            self._version = None
            return {}
        self._version = found["metadata"]["resourceVersion"]
        return parse_totals((found.get("data") or {}).get(KEY, ""))

    async def write(self, totals: Mapping[Series, float]) -> None:
        try:
            if self._version is None:
                written = await self._api.create(CONFIG_MAPS, self._manifest(totals))
            else:
                written = await self._api.replace(CONFIG_MAPS, self._manifest(totals))
        except ApiError as error:
            # Written by another leader, created by one, or deleted by hand: read again.
            if error.status in (404, 409):
                raise Conflict from error
            raise
        self._version = written["metadata"]["resourceVersion"]

    def _manifest(self, totals: Mapping[Series, float]) -> Body:
        metadata = {"namespace": self._namespace, "name": TOTALS}
        if self._version is not None:
            metadata["resourceVersion"] = self._version
        return {
            "apiVersion": CONFIG_MAPS.api_version,
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {KEY: render_totals(totals)},
        }


def render_totals(totals: Mapping[Series, float]) -> str:
    rows = [[name, *labels, round(value, 3)] for (name, labels), value in sorted(totals.items())]
    return json.dumps(rows)


def parse_totals(text: str) -> dict[Series, float]:
    """The valid entries: any user with permissions in that namespace may have edited it."""
    rows = value_in(text)
    found = [_parse_row(row) for row in rows] if isinstance(rows, list) else []
    return dict(it for it in found if it is not None)


def _parse_row(row: Any) -> tuple[Series, float] | None:
    if not isinstance(row, list) or len(row) < 3:
        return None
    *words, value = row
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not all(isinstance(word, str) for word in words) or not is_number or not 0 <= value < 1e18:
        return None
    return (words[0], tuple(words[1:])), float(value)
