# SPDX-License-Identifier: Apache-2.0
"""The platform team's restrictions on jobs: small rules over a spec, one per setting. No I/O here.

Webhook and operator use the same table, for jobs and for the jobs of schedules. An unset setting
allows everything, except code from model repositories and host paths, which must be allowed
explicitly.

The rules are checked before each attempt, and no attempt starts against one: not that of a job
accepted before the rule was tightened, nor that of a job whose podTemplate was changed since. A
running attempt continues: to end it, suspend or delete the job.
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
"""Keys that let transformers run code from a model or from any repository."""

_KERNEL = re.compile(r"(paged\|)?(?P<owner>[^/:|]+)/.+")
_TRUSTED_KERNELS = "kernels-community"
_NO_WORDS = ("", "0", "false", "no", "off", "n", "f", "none", "null")


def check_guard_rails(spec: Spec, namespace: str, settings: Settings) -> Iterator[Problem]:
    """Everything that the platform team does not allow, with complete paths."""
    for rule in RULES:
        yield from rule(spec, namespace, settings)


def namespace_is_allowed(spec: Spec, namespace: str, settings: Settings) -> Iterator[Problem]:
    allowed = settings.namespaces
    if allowed and not _matches(namespace, allowed):
        found = f"found {quoted(namespace)}, expected {_one_of(allowed)}"
        yield _refusal("metadata.namespace", found, "NAMESPACES")


def images_are_allowed(spec: Spec, namespace: str, settings: Settings) -> Iterator[Problem]:
    """The trainer's image, and images that are mounted as volumes."""
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
    """Code from a model or dataset would run in the pod with access to the pod's secrets."""
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
    """Through workload identity, the pods get its permissions in a cloud."""
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
    """The artifact's location, and the hub repository if it is pushed there too."""
    yield "spec.output.uri", spec["output"]["uri"]
    config = {OLDER.get(key, key): value for key, value in spec["config"].items()}
    if _is_on(config.get("push_to_hub")):
        # Without a name, the hub uses a repository of the token's owner, who is unknown here.
        yield "spec.config.push_to_hub", f"hf://{config.get('hub_model_id') or ''}"


def _pod_in(spec: Spec) -> Mapping[str, Any]:
    return (spec.get("podTemplate") or {}).get("spec") or {}


def _volumes(spec: Spec) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for place, volume in enumerate(_pod_in(spec).get("volumes") or ()):
        yield f"{_POD}.volumes[{place}]", volume


def _variables(spec: Spec) -> Iterator[tuple[str, str]]:
    """Variables set in the job itself; the contents of Secrets and ConfigMaps are unknown here."""
    for container in _pod_in(spec).get("containers") or ():
        for place, entry in enumerate(container.get("env") or ()):
            yield f"{_POD}.containers[0].env[{place}].name", str(entry["name"])
    block = spec["config"].get("env")
    for name in block if isinstance(block, Mapping) else ():
        yield f"spec.config.env.{name}", str(name)


def _find_kernels(config: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Attention kernels from a hub repository, for the model or for a part of it."""
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
    """Every `trust_remote_code: true`, at any depth: `model_init_kwargs` accepts it too."""
    if isinstance(value, int | float):
        return
    value = _as_read(value)
    if isinstance(value, str):
        # A mapping that cannot be parsed here: TRL's reading of it is unknown.
        if _begins_a_mapping(value) and any(key in value for key in _CODE_KEYS):
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
    """TRL parses a text as the mapping in it, with escapes; other texts stay texts."""
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
