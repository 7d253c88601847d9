# SPDX-License-Identifier: Apache-2.0
"""An adapter in place of a model: its `adapter_config.json`, which is untrusted. No I/O here.

Only the options are kept that the trainer supports. So PEFT reads nothing else, and an option with
which the adapter would compute something else is refused by its name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from finetune_contract.reasons import Reason
from finetune_spec.base_model.damage import Damage
from finetune_spec.config.check.places import check_place
from finetune_spec.config.parse.sft_config import ADAPTER_BASE, AS_MODEL, CONTINUE, MERGE
from finetune_spec.config.problem import quoted

WEIGHTS = "adapter_model.safetensors"
PICKLED = "adapter_model.bin"

HOW_TO_TRAIN = (
    f"set {AS_MODEL}: {CONTINUE} to train this adapter further, or {AS_MODEL}: {MERGE} to merge it "
    "into its base model and train the result; to train a new adapter, name the base model"
)

MOST_RANK = 65_536
_MOST_NUMBER = 10**9
_MOST_NAMES = 10_000
_LONGEST_NAME = 10_000
_LONGEST_PLACE = 1_000
_UNSET: tuple[Any, ...] = (None, False, "", [], {})
"""Values with which an option has no effect."""


class UnusableAdapter(Exception):
    """The adapter cannot be trained or merged."""

    def __init__(self, damage: Damage) -> None:
        super().__init__(damage.message)
        self.damage = damage


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """An `adapter_config.json` that was parsed."""

    base: str | None
    """The name of its base model; None if it names none."""
    revision: str | None
    """The base model's revision on the hub."""
    options: Mapping[str, Any]
    """PEFT's options that are supported and set."""

    @property
    def rank(self) -> int:
        return int(self.options["r"])

    @property
    def settings(self) -> Mapping[str, Any]:
        """Its options as keys of a config."""
        given = {key: self.options.get(option) for key, option in _KEYS.items()}
        given |= {key: bool(given[key]) for key in ("use_rslora", "use_dora")}
        if (alpha := given["lora_alpha"]) is not None and float(alpha).is_integer():
            given["lora_alpha"] = int(alpha)
        targets = given["lora_target_modules"]
        if isinstance(targets, list) and len(targets) == 1:
            # TRL reads a list of one as an expression for complete names.
            given["lora_target_modules"] = ".*" + targets[0].replace(".", r"\.")
        return {key: value for key, value in given.items() if value is not None}


_KEYS: Mapping[str, str] = {
    "lora_r": "r",
    "lora_alpha": "lora_alpha",
    "lora_dropout": "lora_dropout",
    "lora_target_modules": "target_modules",
    "lora_target_parameters": "target_parameters",
    "lora_modules_to_save": "modules_to_save",
    "use_rslora": "use_rslora",
    "use_dora": "use_dora",
}
"""Config key -> PEFT's option."""


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST_NUMBER


def _is_rank(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MOST_RANK


def _is_number(value: Any) -> bool:
    # NaN compares as false.
    return type(value) in (int, float) and 0 <= value <= _MOST_NUMBER


def _is_share(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 1


def _is_flag(value: Any) -> bool:
    return type(value) is bool


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME


def _are_names(value: Any) -> bool:
    return _are(value, _is_name)


def _is_name_or_names(value: Any) -> bool:
    return _is_name(value) or _are_names(value)


def _are_counts(value: Any) -> bool:
    return _are(value, _is_count)


def _is_count_or_counts(value: Any) -> bool:
    return _is_count(value) or _are_counts(value)


def _are_rows(value: Any) -> bool:
    """Rows of one embedding, or of several by their names."""
    return _are_counts(value) or _has(value, _are_counts)


def _are_ranks(value: Any) -> bool:
    return _has(value, _is_rank)


def _are_alphas(value: Any) -> bool:
    return _has(value, _is_number)


def _are(value: Any, check: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) <= _MOST_NAMES and all(map(check, value))


def _has(value: Any, check: Callable[[Any], bool]) -> bool:
    if not isinstance(value, Mapping) or len(value) > _MOST_NAMES:
        return False
    return all(_is_name(name) and check(item) for name, item in value.items())


_OPTIONS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "r": (_is_rank, f"a number from 1 to {MOST_RANK}"),
    "lora_alpha": (_is_number, "a number"),
    "lora_dropout": (_is_share, "a number from 0 to below 1"),
    "target_modules": (_is_name_or_names, "names of modules, or an expression"),
    "exclude_modules": (_is_name_or_names, "names of modules, or an expression"),
    "target_parameters": (_are_names, "names of parameters"),
    "modules_to_save": (_are_names, "names of modules"),
    "layers_to_transform": (_is_count_or_counts, "numbers of layers"),
    "layers_pattern": (_is_name_or_names, "names"),
    "rank_pattern": (_are_ranks, "ranks by names of modules"),
    "alpha_pattern": (_are_alphas, "numbers by names of modules"),
    "trainable_token_indices": (_are_rows, "ids of tokens"),
    "fan_in_fan_out": (_is_flag, "true or false"),
    "use_rslora": (_is_flag, "true or false"),
    "use_dora": (_is_flag, "true or false"),
    "ensure_weight_tying": (_is_flag, "true or false"),
}
"""Supported options, each with its check and the expected value in words."""

_EXPECTED: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "task_type": ("CAUSAL_LM",),
    "bias": ("none",),
    # Others change the base model's weights.
    "init_lora_weights": (True, "gaussian", "orthogonal"),
}
"""Options of which only these values are supported."""

_WITHOUT_EFFECT = frozenset(
    {
        *("base_model_name_or_path", "revision", "inference_mode", "auto_mapping", "peft_version"),
        # They matter only together with another option, which is refused.
        *("megatron_core", "qalora_group_size", "runtime_config"),
    }
)


def parse_adapter(content: Mapping[str, Any]) -> Adapter:
    """
    Raises:
        UnusableAdapter: it has an option that is not supported, or an invalid one.
    """
    kind = content.get("peft_type")
    if kind not in _EXPECTED["peft_type"]:
        raise _refusal(
            f"the adapter is of PEFT's type {quoted(kind)}, and only LORA is supported",
            "name a LoRA adapter, or merge this one with PEFT and name the merged model",
        )
    for option, value in content.items():
        _require_supported(option, value)
    options = {key: content[key] for key in _OPTIONS if content.get(key) not in (None, {}, [])}
    if "r" not in options:
        raise _broken("r", None, _OPTIONS["r"][1])
    if not options.get("target_modules") and not options.get("target_parameters"):
        raise _broken("target_modules", None, _OPTIONS["target_modules"][1])
    return Adapter(
        base=_text(content, "base_model_name_or_path"),
        revision=_text(content, "revision"),
        options=options,
    )


def peft_options(adapter: Adapter) -> Mapping[str, Any]:
    """The content of an `adapter_config.json` with which PEFT loads this adapter."""
    return {"peft_type": "LORA", "task_type": "CAUSAL_LM", **adapter.options}


def base_named_by(adapter: Adapter) -> str:
    """The base model's name, which the adapter's author has written.

    Raises:
        UnusableAdapter: there is none, or not one that may be used.
    """
    name = adapter.base
    remedy = f"set {ADAPTER_BASE} to the name or location of the adapter's base model"
    if name is None:
        raise _refusal("the adapter names no base model", remedy)
    problems = tuple(check_place(ADAPTER_BASE, name))
    # A path of another machine; absolute ones are directories of a volume.
    is_relative = name.startswith(("./", "../", "~")) or ".." in name.split("/")
    if is_relative or problems:
        raise _refusal(
            f"the adapter names the base model {quoted(name)}, which is neither a hub name, nor an "
            "absolute path, nor a URI of a store",
            remedy,
        )
    return name


def _require_supported(option: str, value: Any) -> None:
    if option in _WITHOUT_EFFECT or value in (None, {}, []):
        return
    if option in _EXPECTED:
        if not any(type(value) is type(it) and value == it for it in _EXPECTED[option]):
            expected = ", ".join(quoted(it) for it in _EXPECTED[option])
            raise _not_supported(option, value, f", and only {expected} is supported")
        return
    if option not in _OPTIONS:
        if value not in _UNSET:
            raise _not_supported(option, value, ", which is not supported")
        return
    check, words = _OPTIONS[option]
    if not check(value):
        raise _broken(option, value, words)


def _text(content: Mapping[str, Any], option: str) -> str | None:
    value = content.get(option)
    if value in (None, ""):
        return None
    if not isinstance(value, str) or len(value) > _LONGEST_PLACE or not value.isprintable():
        raise _broken(option, value, "a name")
    return value


def _not_supported(option: str, value: Any, why: str) -> UnusableAdapter:
    return _refusal(
        f"the adapter has {option:.80}: {quoted(value)}{why}",
        "merge the adapter with PEFT and name the merged model, or train a new adapter",
    )


def _broken(option: str, value: Any, words: str) -> UnusableAdapter:
    return UnusableAdapter(
        Damage(
            reason=Reason.MODEL_DAMAGED,
            message=f"adapter_config.json has {option}: {quoted(value)}, expected {words}",
            remedy="upload the complete directory that PEFT's save_pretrained wrote",
        )
    )


def _refusal(message: str, remedy: str) -> UnusableAdapter:
    return UnusableAdapter(Damage(reason=Reason.INVALID_CONFIG, message=message, remedy=remedy))
