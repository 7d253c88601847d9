# SPDX-License-Identifier: Apache-2.0
"""Checks the variables and mounts of a job's podTemplate for the trainer. No I/O here."""

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finetune_spec.config.problem import Problem, did_you_mean, quoted
from finetune_spec.pods.fields import POD
from finetune_spec.pods.reserved import CODE_FOLDERS, FOLDERS, PACKAGES, VARIABLES
from finetune_spec.variables import reason_for_variable

PATH = f"{POD}.containers[0]"
_VARIABLE = re.compile(r"[-._A-Za-z][-._A-Za-z0-9]*")


def check_container(container: Mapping[str, Any], pod: Mapping[str, Any]) -> Iterator[Problem]:
    """Variables and directories of the trainer itself, and mounts without a volume."""
    yield from _check_env(container.get("env") or ())
    yield from _check_sources(container.get("envFrom") or ())
    volumes = [volume["name"] for volume in pod.get("volumes") or ()]
    for place, mount in enumerate(container.get("volumeMounts") or ()):
        yield from _check_mount(mount, volumes, f"{PATH}.volumeMounts[{place}]")


def _check_env(entries: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    for place, entry in enumerate(entries):
        path, name = f"{PATH}.env[{place}]", entry["name"]
        if (why := VARIABLES.get(name) or reason_for_variable(name)) is not None:
            message = f"{name} cannot be set by a job: {why}"
            yield Problem(path=f"{path}.name", message=message)
        elif not _VARIABLE.fullmatch(name):
            message = f"found {quoted(name)}, expected the name of a variable, such as HF_TOKEN"
            yield Problem(path=f"{path}.name", message=message)
        source = entry.get("valueFrom")
        if source is not None and entry.get("value"):
            yield Problem(path=path, message="found value and valueFrom, expected only one of them")
        elif source is not None and len(source) != 1:
            message = (
                f"found {' and '.join(source) or 'nothing'}, expected one of secretKeyRef, "
                "configMapKeyRef, fieldRef and resourceFieldRef"
            )
            yield Problem(path=f"{path}.valueFrom", message=message)


def _check_sources(sources: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    for place, source in enumerate(sources):
        if ("secretRef" in source) == ("configMapRef" in source):
            found = "both" if "secretRef" in source else "neither"
            message = f"found {found}, expected secretRef or configMapRef"
            yield Problem(path=f"{PATH}.envFrom[{place}]", message=message)


def _check_mount(mount: Mapping[str, Any], volumes: Sequence[str], path: str) -> Iterator[Problem]:
    name, place = mount["name"], mount["mountPath"]
    if name not in volumes:
        known = f", expected one of {', '.join(volumes)}" if volumes else ""
        message = f"there is no volume {quoted(name)} in {POD}.volumes"
        yield Problem(
            path=f"{path}.name", message=f"{message}{did_you_mean(name, volumes) or known}"
        )
    if not place.startswith("/") or ":" in place:
        message = f"found {quoted(place)}, expected an absolute path such as /data, without colons"
        yield Problem(path=f"{path}.mountPath", message=message)
    elif PACKAGES & set(place.split("/")):
        message = (
            f"found {quoted(place)}: it contains Python's packages, so choose another directory"
        )
        yield Problem(path=f"{path}.mountPath", message=message)
    elif (folder := _find_hit(place)) is not None:
        why = _TAKEN[folder]
        hit = (
            ""
            if posixpath.normpath(place) == folder
            else f", which would hide {folder} or parts of it"
        )
        message = f"found {quoted(place)}{hit}: {why}, so choose another directory"
        yield Problem(path=f"{path}.mountPath", message=message)


_TAKEN: Mapping[str, str] = {**FOLDERS, **CODE_FOLDERS}


def _find_hit(place: str) -> str | None:
    """The trainer's directory that a mount there would hide or be inside of."""
    # POSIX allows two leading slashes; the kernel does not.
    wanted = "/" + posixpath.normpath(place).strip("/") + "/"
    if wanted.startswith("/run/"):
        wanted = f"/var{wanted}"  # One is a link to the other.
    for folder in _TAKEN:
        own = f"{folder}/"
        if own.startswith(wanted) or wanted.startswith(own):
            return folder
    return None
