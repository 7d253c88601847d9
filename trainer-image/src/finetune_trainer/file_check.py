# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a file of FineTuneJobs and SFT configs, and in which line. No I/O here."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from finetune_contract.config import Problem, check_config
from finetune_contract.config.problem import quoted
from finetune_contract.config.schema import NEWEST, load_schema
from finetune_contract.job_check import check_job
from finetune_contract.job_shape import KIND, check_shape
from finetune_trainer.source_lines import Document, read_documents
from finetune_trainer.yaml_tree import Found, Place

_GROUP = "finetune.dev/"
_OTHER_KINDS = ("FineTuneSchedule",)
_NEAR = 0.8
_CLUES = (KIND.encode(), b"model_name_or_path")
"""What a file that cannot be read holds if it was to be one of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFile:
    """What a file holds and what is wrong with it."""

    found: tuple[Found, ...]
    checked: int
    """Jobs and configs in it."""
    skipped: tuple[str, ...]
    """What else is in it, in words."""


def check_file(content: bytes, *, is_named: bool) -> CheckedFile:
    """Checks every document of a file that a user has named, or that lies in a folder.

    In a folder, what looks like neither a job nor a config is none.
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
        found += check_document(document)
    if is_named and not checked and not skipped:
        message = f"holds nothing: expected a {KIND} or an SFT config"
        nothing = Problem(path="", message=message)
        found.append(Found(problem=nothing, place=Place(line=1, column=1)))
        checked = 1
    return CheckedFile(found=tuple(found), checked=checked, skipped=tuple(skipped))


def check_document(
    document: Document, checked_as: Mapping[str, Any] | None = None
) -> tuple[Found, ...]:
    """Everything that is wrong with a job or a config, in the order of its lines.

    `checked_as` is checked instead of what the document says, for a place in which it may differ.
    """
    if not document.is_readable:
        return document.found
    told = {found.problem.path for found in document.found}
    others = [
        Found(problem=problem, place=document.place_of(problem.path))
        for problem in _problems(checked_as or document.value)
        # No mistake is told twice.
        if problem.path not in told
    ]
    found = [*document.found, *others]
    return tuple(sorted(found, key=lambda one: (one.place.line, one.place.column)))


def is_job(value: Any) -> bool:
    """Whether this was meant to be a FineTuneJob."""
    if not isinstance(value, Mapping) or not _is_of_kubernetes(value):
        return False
    kind, version = str(value.get("kind", "")), str(value.get("apiVersion", ""))
    if version.startswith(_GROUP) or not kind:
        return kind not in _OTHER_KINDS
    likeness = difflib.SequenceMatcher(None, kind.lower(), KIND.lower()).ratio()
    return likeness >= _NEAR and kind not in _OTHER_KINDS


def check_job_document(document: Mapping[str, Any]) -> tuple[Problem, ...]:
    """What API server and operator would say about a FineTuneJob, with whole paths."""
    problems = check_shape(document)
    spec = document.get("spec")
    if not isinstance(spec, Mapping) or not isinstance(spec.get("config"), Mapping):
        return problems
    wrong = {problem.path.split(".")[1] for problem in problems if "." in problem.path}
    sound = {key: value for key, value in spec.items() if key == "config" or key not in wrong}
    return (*problems, *check_job(sound))


def _problems(value: Any) -> tuple[Problem, ...]:
    if not isinstance(value, Mapping):
        message = f"found {quoted(value)}, expected the keys of a {KIND} or of an SFT config"
        if isinstance(value, list):
            message = "found a list, expected keys: remove the dashes in front of them"
        return (Problem(path="", message=message),)
    return check_job_document(value) if is_job(value) else check_config(value)


def _reason_to_skip(document: Document, content: bytes, is_named: bool) -> str:
    value = document.value
    if not document.is_readable:
        is_ours = is_named or any(clue in content for clue in _CLUES)
        return "" if is_ours else "not readable as YAML, and not a job by its words"
    if is_job(value):
        return ""
    if isinstance(value, Mapping) and _is_of_kubernetes(value):
        return f"a {value.get('kind')}, not a {KIND}"
    if is_named or _looks_like_config(value):
        return ""
    return f"neither a {KIND} nor an SFT config"


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
    """The documents; of a List, as `kubectl get -o yaml` prints one, what is in it."""
    for document in documents:
        items = document.root.children.get("items")
        is_list = isinstance(document.value, Mapping) and document.value.get("kind") == "List"
        if not is_list or items is None or document.found:
            yield document
            continue
        for item in items.children.values():
            yield Document(root=item, found=())
