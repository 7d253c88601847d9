# SPDX-License-Identifier: Apache-2.0
"""An `accelerate_config` -> the equivalent keys of SFTConfig. No I/O here.

`SFTConfig` builds accelerate's plugins from `fsdp_config` and `deepspeed` and reads the
environment, through which `accelerate launch` configures its processes, only for missing values. So
a profile resolves to keys; environment variables are used only for options without a key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from finetune_spec.config.parse.launch.options import (
    DEEPSPEED,
    DYNAMO,
    FSDP,
    PARALLELISM,
    TOP,
    Option,
)
from finetune_spec.config.parse.launch.profiles import NAMED, Profile

KEY = "accelerate_config"
SAID_TWICE = ("fsdp", "fsdp_config", "deepspeed")
"""Keys that a profile sets: they must not be used together with one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A config without `accelerate_config`."""

    values: dict[str, Any]
    origins: dict[str, str] = field(default_factory=dict)
    """Key that the profile set -> the place where the user wrote it."""


def resolve_launch(config: Mapping[str, Any]) -> Resolved:
    """The config with the values of its profile; the config's own values take precedence.

    An invalid profile, or one next to keys that it sets, sets nothing: the checks report it.
    """
    given = config.get(KEY)
    values = {key: value for key, value in config.items() if key != KEY}
    profile = NAMED.get(given) if isinstance(given, str) else given
    if not isinstance(profile, Mapping) or any(values.get(key) for key in SAID_TWICE):
        return Resolved(values=values)
    settings = _settings(profile)
    for key, other in (("bf16", "fp16"), ("fp16", "bf16")):
        if values.get(key):
            settings.pop(other, None)
    whole = settings.pop("env", {})
    added = {key: value for key, value in settings.items() if values.get(key) is None}
    if whole:
        own = values.get("env")
        added["env"] = {**whole, **own} if isinstance(own, Mapping) else whole
    origins = {
        key: KEY if isinstance(given, str) else f"{KEY}.{_SECTIONS.get(key, key)}" for key in added
    }
    if "env" in values:
        origins.pop("env", None)
    return Resolved(values=values | added, origins=origins)


_SECTIONS = {
    "bf16": "mixed_precision",
    "deepspeed": "deepspeed_config",
    "env": "parallelism_config",
    "fp16": "mixed_precision",
    "fsdp": "distributed_type",
    "torch_compile_backend": "dynamo_config.dynamo_backend",
    "torch_compile_mode": "dynamo_config.dynamo_mode",
}
"""Key -> its place in an accelerate config."""


def precision_of(profile: Profile) -> str | None:
    """`no`, `bf16`, `fp16`, or None if the profile does not set it."""
    found = profile.get("mixed_precision")
    # A bare `no` is false in YAML.
    return "no" if found is False else found


def _settings(profile: Profile) -> dict[str, Any]:
    """Every key of SFTConfig that the profile sets."""
    strategy = profile.get("distributed_type")
    settings: dict[str, Any] = {}
    if strategy == "FSDP":
        settings |= {"fsdp": True, "fsdp_config": _fsdp(_section(profile, "fsdp_config"))}
    elif strategy == "DEEPSPEED":
        settings["deepspeed"] = _deepspeed(_section(profile, "deepspeed_config"))
    precision = precision_of(profile)
    if precision == "no":
        settings["bf16"] = False
    elif precision == "fp16":
        # bf16 needs no key: it is TRL's default wherever it is supported.
        settings["fp16"] = True
    if profile.get("use_cpu"):
        settings["use_cpu"] = True
    settings |= _compilation(_section(profile, "dynamo_config"))
    settings["env"] = _variables(profile)
    return settings


def _section(profile: Profile, name: str) -> Mapping[str, Any]:
    found = profile.get(name)
    return found if isinstance(found, Mapping) else {}


def _placed(section: Mapping[str, Any], options: Mapping[str, Option]) -> dict[str, Any]:
    """Place -> value, of the options that are set."""
    return {
        options[key].place: value
        for key, value in section.items()
        if key in options and options[key].place and value is not None
    }


def _fsdp(section: Mapping[str, Any]) -> dict[str, Any]:
    # The defaults of accelerate's launcher for unset keys.
    options = {"version": 1, **_placed(section, FSDP)}
    if options["version"] == 1:
        options.setdefault("reshard_after_forward", "FULL_SHARD")
    layers = options.get("transformer_layer_cls_to_wrap")
    if isinstance(layers, str):
        options["transformer_layer_cls_to_wrap"] = layers.split(",")
    return options


def _deepspeed(section: Mapping[str, Any]) -> Any:
    """DeepSpeed's own config, in which transformers fills in `auto`; or the path to one."""
    if file := section.get("deepspeed_config_file"):
        return file
    options: dict[str, Any] = {
        **dict.fromkeys(("train_batch_size", "train_micro_batch_size_per_gpu"), "auto"),
        **dict.fromkeys(("gradient_accumulation_steps", "gradient_clipping"), "auto"),
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": "auto"},
    }
    for place, value in _placed(section, DEEPSPEED).items():
        *outer, last = place.split(".")
        inner = options
        for name in outer:
            inner = inner.setdefault(name, {})
        inner[last] = value
    zero = options.setdefault("zero_optimization", {})
    zero.setdefault("stage", 2)
    if zero.get("offload_optimizer", {}).get("device", "none") != "none":
        # Its own Adam for CPUs is compiled on first use, and images have no C++ compiler.
        options["zero_force_ds_cpu_optimizer"] = False
    return options


def _compilation(section: Mapping[str, Any]) -> dict[str, Any]:
    placed = _placed(section, DYNAMO)
    backend = str(placed.get("torch_compile_backend", "NO"))
    if backend.upper() == "NO":
        return {}
    return {**placed, "torch_compile_backend": backend.lower()}


def _variables(profile: Profile) -> dict[str, str]:
    parallel = _section(profile, "parallelism_config")
    sections = (
        (profile, TOP),
        (_section(profile, "fsdp_config"), FSDP),
        (_section(profile, "deepspeed_config"), DEEPSPEED),
        (_section(profile, "dynamo_config"), DYNAMO),
        (parallel, PARALLELISM),
    )
    found = {
        options[key].variable: _text(value)
        for section, options in sections
        for key, value in section.items()
        if key in options and options[key].variable and value not in (None, False)
    }
    if parallel:
        found["ACCELERATE_USE_PARALLELISM_CONFIG"] = "true"
    return found


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
