# SPDX-License-Identifier: Apache-2.0
"""What the platform team lets jobs do: small rules over a spec, each with its setting. No I/O here.

Webhook and operator ask the same table, for jobs and for what a schedule makes of them. A setting
that is not made allows everything, but for code from model repositories and folders of nodes, which
must be allowed.

They are looked at before each attempt, and none is started against a rule: neither that of a job
that was accepted before the rule was tightened, nor of one whose podTemplate was changed since. An
attempt that is under way goes to its end: who wants it gone suspends or deletes the job.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Any

from finetune_contract.documents import InvalidDocument, parse_object
from finetune_operator.job.places import is_below
from finetune_operator.settings import Settings
from finetune_spec.config import Problem
from finetune_spec.config.parse.spellings import OLDER
from finetune_spec.config.problem import quoted
from finetune_spec.variables import names_a_store

Spec = Mapping[str, Any]
Rule = Callable[[Spec, str, Settings], Iterator[Problem]]

_POD = "spec.podTemplate.spec"
_CODE = "trust_remote_code"
_CODE_KEYS = (_CODE, "allow_all_kernels", "kernel_config")
"""What lets transformers run code that comes with a model, or from anybody's repository."""

_KERNEL = re.compile(r"(paged\|)?(?P<owner>[^/:|]+)/.+")
_TRUSTED_KERNELS = "kernels-community"
_NO_WORDS = ("", "0", "false", "no", "off", "n", "f", "none", "null")


def check_guard_rails(spec: Spec, namespace: str, settings: Settings) -> Iterator[Problem]:
    """Everything that the platform team does not allow, with whole paths."""
    for rule in RULES:
        yield from rule(spec, namespace, settings)


def namespace_is_allowed(spec: Spec, namespace: str, settings: Settings) -> Iterator[Problem]:
    allowed = settings.namespaces
    if allowed and not _matches(namespace, allowed):
        found = f"found {quoted(namespace)}, expected {_one_of(allowed)}"
        yield _refusal("metadata.namespace", found, "NAMESPACES")


def images_are_allowed(spec: Spec, namespace: str, settings: Settings) -> Iterator[Problem]:
    """The trainer's image, and those that are mounted as volumes."""
    images = [("spec.image", spec.get("image") or settings.trainer_image)]
    for path, volume in _volumes(spec):
        if isinstance(source := volume.get("image"), Mapping):
            images.append((f"{path}.image.reference", str(source.get("reference", ""))))
    allowed = settings.allowed_images
    for path, image in images:
        if allowed and image != settings.trainer_image and not _matches(image, allowed):
            found = f"found {quoted(image)}, expected {_one_of(allowed)}"
            yield _refusal(path, found, "ALLOWED_IMAGES")


def remote_code_is_allowed(spec: Spec, namespace: str, settings: Settings) -> Iterator[Problem]:
    """Code that comes with a model or data set would run in the pod, with the pod's secrets."""
    if settings.allow_trust_remote_code:
        return
    for path in _find_remote_code(spec["config"], "spec.config"):
        found = "found true, which runs code from the model's repository: remove it"
        yield _refusal(path, found, "ALLOW_TRUST_REMOTE_CODE")
    for path, kernel in _find_kernels(spec["config"], "spec.config"):
        found = f"found {quoted(kernel)}, which runs code from that repository, expected a kernel "
        found += f"of {_TRUSTED_KERNELS}, or sdpa"
        yield _refusal(path, found, "ALLOW_TRUST_REMOTE_CODE")


def output_is_allowed(spec: Spec, namespace: str, settings: Settings) -> Iterator[Problem]:
    prefixes = [text.replace("{namespace}", namespace) for text in settings.output_prefixes]
    for path, uri in _outputs(spec):
        if prefixes and not any(is_below(uri, prefix) for prefix in prefixes):
            found = f"found {quoted(uri)}, expected a location below {_one_of(prefixes)}"
            yield _refusal(path, found, "OUTPUT_PREFIXES")
    for path, name in _variables(spec):
        if prefixes and names_a_store(name):
            found = (
                f"found {quoted(name)}, which redirects the output to another store: move it to "
            )
            found += "the Secret that spec.output.credentialsSecretRef names"
            yield _refusal(path, found, "OUTPUT_PREFIXES")


def gpus_are_few_enough(spec: Spec, namespace: str, settings: Settings) -> Iterator[Problem]:
    resources = spec.get("resources") or {}
    nodes, per_node = resources.get("nodes", 1), resources.get("gpusPerNode", 1)
    most = settings.max_gpus
    if most is not None and nodes * per_node > most:
        found = f"found {nodes * per_node} GPUs ({nodes} nodes with {per_node} each)"
        yield _refusal("spec.resources", f"{found}, expected at most {most}", "MAX_GPUS")


def host_paths_are_allowed(spec: Spec, namespace: str, settings: Settings) -> Iterator[Problem]:
    allowed = settings.allowed_host_paths
    for path, volume in _volumes(spec):
        if not isinstance(source := volume.get("hostPath"), Mapping):
            continue
        folder = str(source.get("path", ""))
        if not any(is_below(folder, prefix) for prefix in allowed):
            expected = (
                f"a directory below {_one_of(allowed)}" if allowed else "another kind of volume"
            )
            found = f"found {quoted(folder)}, a directory of the node, expected {expected}"
            yield _refusal(f"{path}.hostPath.path", found, "ALLOWED_HOST_PATHS")


def service_account_is_allowed(spec: Spec, namespace: str, settings: Settings) -> Iterator[Problem]:
    """By workload identity its rights in a cloud are the pods'."""
    name = _pod_in(spec).get("serviceAccountName") or "default"
    allowed = settings.allowed_service_accounts
    if not _matches(name, allowed):
        found = f"found {quoted(name)}, expected {_one_of(allowed)}"
        yield _refusal(f"{_POD}.serviceAccountName", found, "ALLOWED_SERVICE_ACCOUNTS")


RULES: tuple[Rule, ...] = (
    namespace_is_allowed,
    images_are_allowed,
    remote_code_is_allowed,
    output_is_allowed,
    gpus_are_few_enough,
    host_paths_are_allowed,
    service_account_is_allowed,
)


def _refusal(path: str, found: str, setting: str) -> Problem:
    who = f"the platform team sets {setting} in the operator's Deployment"
    return Problem(path=path, message=f"{found}; {who}")


def _outputs(spec: Spec) -> Iterator[tuple[str, str]]:
    """The artifact's folder, and the hub where it is pushed there too."""
    yield "spec.output.uri", spec["output"]["uri"]
    config = {OLDER.get(key, key): value for key, value in spec["config"].items()}
    if _is_on(config.get("push_to_hub")):
        # Without a name it is one of the token's owner, whoever that is.
        yield "spec.config.push_to_hub", f"hf://{config.get('hub_model_id') or ''}"


def _pod_in(spec: Spec) -> Mapping[str, Any]:
    return (spec.get("podTemplate") or {}).get("spec") or {}


def _volumes(spec: Spec) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for place, volume in enumerate(_pod_in(spec).get("volumes") or ()):
        yield f"{_POD}.volumes[{place}]", volume


def _variables(spec: Spec) -> Iterator[tuple[str, str]]:
    """Those that a job sets in plain sight; what a Secret or ConfigMap brings is not known here."""
    for container in _pod_in(spec).get("containers") or ():
        for place, entry in enumerate(container.get("env") or ()):
            yield f"{_POD}.containers[0].env[{place}].name", str(entry["name"])
    block = spec["config"].get("env")
    for name in block if isinstance(block, Mapping) else ():
        yield f"spec.config.env.{name}", str(name)


def _find_kernels(config: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Attention from a repository of the hub, for the model or for a part of it."""
    kwargs = _as_read(config.get("model_init_kwargs"))
    if isinstance(kwargs, Mapping):
        yield from _find_kernels(kwargs, f"{path}.model_init_kwargs")
    for key, value in config.items():
        if not str(key).replace("-", "_").endswith("attn_implementation"):
            continue
        for part in value.values() if isinstance(value, Mapping) else (value,):
            found = _KERNEL.fullmatch(part) if isinstance(part, str) else None
            if found is not None and found["owner"] != _TRUSTED_KERNELS:
                yield f"{path}.{key}", part


def _find_remote_code(value: Any, path: str) -> Iterator[str]:
    """Where `trust_remote_code` is on, however deep: `model_init_kwargs` takes it too."""
    value = _as_read(value)
    if isinstance(value, str) and _begins_a_mapping(value):
        # Nobody here can read it; what TRL makes of it is not known.
        if any(key in value for key in _CODE_KEYS):
            yield path
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if str(key).lstrip("-").replace("-", "_") in _CODE_KEYS and _is_on(item):
                yield f"{path}.{key}"
            else:
                yield from _find_remote_code(item, f"{path}.{key}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _find_remote_code(item, f"{path}[{place}]")


def _as_read(value: Any) -> Any:
    """TRL reads a text as the mapping that it spells, whatever it escapes; others stay texts."""
    if isinstance(value, str) and _begins_a_mapping(value):
        with suppress(InvalidDocument):
            return parse_object(value, "it")
    return value


def _begins_a_mapping(text: str) -> bool:
    return text.lstrip().startswith("{")


def _is_on(value: Any) -> bool:
    return value.strip().lower() not in _NO_WORDS if isinstance(value, str) else bool(value)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _one_of(allowed: Sequence[str]) -> str:
    shown = ", ".join(allowed[:5])
    more = f" or {len(allowed) - 5} more" if len(allowed) > 5 else ""
    return f"{'one of ' if len(allowed) > 1 else ''}{shown}{more}"
