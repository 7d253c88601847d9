# SPDX-License-Identifier: Apache-2.0
"""Checks the volumes of a job's podTemplate. No I/O here.

The platform team decides which host paths may be mounted (the operator's guard rails).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finetune_spec.config.problem import Problem, did_you_mean, quoted, warning
from finetune_spec.pods.fields import POD
from finetune_spec.pods.reserved import VOLUMES

KINDS = (
    *("persistentVolumeClaim", "configMap", "secret", "emptyDir", "projected", "downwardAPI"),
    *("csi", "ephemeral", "image"),
)
"""The volume types of the restricted Pod Security Standard."""
HOST_PATH = "hostPath"


def check_volumes(volumes: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Names that are already used, and kinds of volumes that pods cannot have."""
    for place, volume in enumerate(volumes):
        path = f"{POD}.volumes[{place}]"
        if volume["name"] in VOLUMES:
            message = f"{volume['name']} is a volume of the trainer: choose another name"
            yield Problem(path=f"{path}.name", message=message)
        yield from _check_kind(volume, path)
        yield from _check_projected(volume.get("projected"), f"{path}.projected")


def _check_projected(projected: Any, path: str) -> Iterator[Problem]:
    """Tokens that the API server accepts: the pods must have none."""
    sources = projected.get("sources") if isinstance(projected, Mapping) else None
    for place, source in enumerate(sources if isinstance(sources, list) else ()):
        if not isinstance(source, Mapping):
            continue
        at = f"{path}.sources[{place}]"
        if (token := source.get("serviceAccountToken")) is not None:
            yield from _check_audience(token, f"{at}.serviceAccountToken")
        if source.get("podCertificate") is not None:
            message = "pods have no certificates of the cluster: remove it"
            yield Problem(path=f"{at}.podCertificate", message=message)


def _check_audience(token: Any, path: str) -> Iterator[Problem]:
    audience = token.get("audience") if isinstance(token, Mapping) else None
    if isinstance(audience, str) and _CLOUD.fullmatch(audience):
        return
    found = "no audience" if not audience else f"the audience {quoted(audience)}"
    message = (
        f"found {found}, for which the API server may accept the token: expected that of a "
        "cloud's token service, such as sts.amazonaws.com or api://AzureADTokenExchange"
    )
    yield Problem(path=f"{path}.audience", message=message)


_CLOUD = re.compile(
    r"sts\.amazonaws\.com(\.cn)?|api://AzureADTokenExchange(\w+)?"
    r"|[-a-z0-9.:]+\.svc\.id\.goog|(https:)?//iam\.googleapis\.com/\S+"
)
"""Audiences of the clouds' token services: an API server has a URL of its own."""


def find_unmounted(pod: Mapping[str, Any], container: Mapping[str, Any]) -> Iterator[Problem]:
    mounted = {mount["name"] for mount in container.get("volumeMounts") or ()}
    for place, volume in enumerate(pod.get("volumes") or ()):
        if volume["name"] not in mounted:
            message = f"{volume['name']} is not mounted: add it to containers[0].volumeMounts"
            yield warning(f"{POD}.volumes[{place}]", message)


def _check_kind(volume: Mapping[str, Any], path: str) -> Iterator[Problem]:
    kinds = [field for field in volume if field != "name"]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        yield Problem(path=path, message=f"found {found}, expected one of {', '.join(KINDS)}")
        return
    (kind,) = kinds
    if kind in KINDS or kind == HOST_PATH:
        return
    hint = did_you_mean(kind, KINDS)
    message = f"unknown kind of volume{hint}" if hint else "pods cannot have this kind of volume"
    instead = (
        "" if hint else ": create a PersistentVolume for it, and mount a persistentVolumeClaim"
    )
    yield Problem(path=f"{path}.{kind}", message=f"{message}{instead}")
