# SPDX-License-Identifier: Apache-2.0
"""Reports problems in files of jobs, schedules and SFT configs, with their lines. No I/O here."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_cli.files.overrides import Override, apply_overrides
from finetune_cli.files.yaml.source_lines import Document, read_documents
from finetune_cli.files.yaml.tree import Found, Position
from finetune_contract.owner import TAKE_OVER
from finetune_spec.config import Problem, SftConfig, parse_config
from finetune_spec.config.parse.schema import NEWEST, load_schema
from finetune_spec.config.problem import quoted
from finetune_spec.job import check_job
from finetune_spec.pods import check_passed_on
from finetune_spec.schedule import TEMPLATE, check_schedule
from finetune_spec.shape import KIND, SCHEDULE_KIND, check_schedule_shape, check_shape, template_of

_GROUP = "finetune.dev/"
_NEAR = 0.8
_CLUES = (KIND.encode(), b"model_name_or_path")
"""Texts by which an unreadable file counts as one of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFile:
    """The contents of a file and its problems."""

    found: tuple[Found, ...]
    checked: int
    """Jobs, schedules and configs in it."""
    skipped: tuple[str, ...]
    """The other contents, in words."""


def check_file(
    content: bytes, *, is_named: bool, overrides: Sequence[Override] = ()
) -> CheckedFile:
    """Checks every document of a file that a user has named, or that is in a directory.

    In a directory, files without any sign of our kinds are skipped.
    """
    found: list[Found] = []
    skipped: list[str] = []
    checked = 0
    for document in _with_items(read_documents(content)):
        reason = _reason_to_skip(document, content, is_named)
        if reason:
            skipped.append(reason)
            continue
        checked += 1
        found += check_document(apply_overrides(document, overrides))
    if is_named and not checked and not skipped:
        message = f"is empty: expected a {KIND}, a {SCHEDULE_KIND} or an SFT config"
        nothing = Problem(path="", message=message)
        found.append(Found(problem=nothing, place=Position(line=1, column=1)))
        checked = 1
    return CheckedFile(found=tuple(found), checked=checked, skipped=tuple(skipped))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    problems: tuple[Problem, ...]
    config: SftConfig | None = None
    """The config of a job, or a bare config."""


def check_document(document: Document) -> tuple[Found, ...]:
    """All problems of a job, schedule or config, in the order of its lines."""
    found, _ = parse_document(document, document.value)
    return found


def parse_document(
    document: Document, checked_as: Any
) -> tuple[tuple[Found, ...], SftConfig | None]:
    """The same, with the config of a job; none if its shape is too wrong.

    `checked_as` is checked instead of the document's value, for a place where it may differ.
    """
    if not document.is_readable:
        return document.found, None
    checked = _check(checked_as)
    told = {found.problem.path for found in document.found}
    others = [
        Found(problem=problem, place=document.place_of(problem.path))
        for problem in checked.problems
        # No error is reported twice.
        if problem.path not in told
    ]
    found = sorted((*document.found, *others), key=lambda one: (one.place.line, one.place.column))
    return tuple(found), checked.config


def kind_of(value: Any) -> str:
    """The kind that this was meant to be; empty if it is none of ours."""
    if not isinstance(value, Mapping) or not _is_of_kubernetes(value):
        return ""
    kind, version = str(value.get("kind", "")), str(value.get("apiVersion", ""))

    def likeness(ours: str) -> float:
        return difflib.SequenceMatcher(None, kind.lower(), ours.lower()).ratio()

    nearest = max((KIND, SCHEDULE_KIND), key=likeness)
    is_ours = not kind or version.startswith(_GROUP) or likeness(nearest) >= _NEAR
    return nearest if is_ours else ""


def _check_job_document(document: Mapping[str, Any]) -> _Checked:
    """The problems that API server and operator would report for a FineTuneJob, with complete
    paths.
    """
    problems = check_shape(document)
    sound = _sound_part(document.get("spec"), problems, "spec")
    if not _has_config(sound):
        return _Checked(problems=problems)
    checked = check_job(sound, annotations=_take_over_in(document))
    passed_on = check_passed_on(document.get("metadata"), sound)
    return _Checked(problems=(*problems, *checked.problems, *passed_on), config=checked.config)


def _take_over_in(document: Mapping[str, Any]) -> dict[str, Any]:
    """Our only annotation. The contents of others belong to a cluster, which is not used here."""
    annotations = annotations_of(document)
    return {TAKE_OVER: annotations[TAKE_OVER]} if TAKE_OVER in annotations else {}


def annotations_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = document.get("metadata")
    found = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _check_schedule_document(document: Mapping[str, Any]) -> _Checked:
    """The same for a FineTuneSchedule."""
    problems = check_schedule_shape(document)
    of_jobs = _sound_part(template_of(document), problems, f"{TEMPLATE}.spec")
    if not _has_config(of_jobs):
        return _Checked(problems=problems)
    times = _sound_part(document.get("spec"), problems, "spec")
    template = document["spec"]["jobTemplate"]
    told = check_schedule({**times, "jobTemplate": {**template, "spec": of_jobs}})
    return _Checked(problems=(*problems, *told))


def _check_bare_config(config: Mapping[str, Any]) -> _Checked:
    parsed, problems = parse_config(config)
    return _Checked(problems=problems, config=parsed)


def _sound_part(spec: Any, problems: Iterable[Problem], path: str) -> Mapping[str, Any]:
    """The fields of a spec with the right shape. The config has separate checks."""
    wrong = {problem.path.removeprefix(f"{path}.").split(".")[0] for problem in problems}
    fields = spec.items() if isinstance(spec, Mapping) else ()
    return {key: value for key, value in fields if key == "config" or key not in wrong}


def _has_config(spec: Mapping[str, Any]) -> bool:
    return isinstance(spec.get("config"), Mapping)


def _check(value: Any) -> _Checked:
    if not isinstance(value, Mapping):
        message = f"found {quoted(value)}, expected the keys of a {KIND} or of an SFT config"
        if isinstance(value, list):
            message = "found a list, expected keys: remove the dashes in front of them"
        return _Checked(problems=(Problem(path="", message=message),))
    return _CHECKS[kind_of(value)](value)


_CHECKS: Mapping[str, Callable[[Mapping[str, Any]], _Checked]] = {
    KIND: _check_job_document,
    SCHEDULE_KIND: _check_schedule_document,
    "": _check_bare_config,
}


def _reason_to_skip(document: Document, content: bytes, is_named: bool) -> str:
    value = document.value
    if not document.is_readable:
        is_ours = is_named or any(clue in content for clue in _CLUES)
        return "" if is_ours else "not readable as YAML, and does not look like a job"
    if kind_of(value):
        return ""
    if isinstance(value, Mapping) and _is_of_kubernetes(value):
        return f"a {value.get('kind')}, no {KIND} or {SCHEDULE_KIND}"
    if is_named or _looks_like_config(value):
        return ""
    return f"no {KIND}, {SCHEDULE_KIND} or SFT config"


def _looks_like_config(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    if any(key in value for key in ("model_name_or_path", "dataset_name")):
        return True
    known = load_schema(NEWEST).properties
    return sum(key in known for key in value) > len(value) / 2


def _is_of_kubernetes(value: Mapping[str, Any]) -> bool:
    return any(key in value for key in ("apiVersion", "kind", "metadata", "spec"))


def _with_items(documents: Iterable[Document]) -> Iterator[Document]:
    """The documents; for a List, as printed by `kubectl get -o yaml`, its items."""
    for document in documents:
        items = document.root.children.get("items")
        is_list = isinstance(document.value, Mapping) and document.value.get("kind") == "List"
        if not is_list or items is None or document.found:
            yield document
            continue
        for item in items.children.values():
            yield Document(root=item, found=())
