# SPDX-License-Identifier: Apache-2.0
"""The only table of packages that some configs and models need.

It contains the purpose of each package, whether the stock trainer image has it, and the alternative
without it. The checks warn with it, the trainer uses it to refuse a job before fetching, and a page
of the docs is generated from it. No I/O here: the image decides whether a package is installed.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

OPTIMIZER, ATTENTION, TRACKERS = "optim", "attn_implementation", "report_to"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that the trainer itself does not need."""

    name: str
    """The name for pip."""
    module: str
    """The name for import."""
    purpose: str
    """Its purpose, in the docs."""
    is_shipped: bool = False
    """Whether the stock trainer image has it."""


def _package(name: str, module: str, purpose: str, *, is_shipped: bool = False) -> Package:
    return Package(name=name, module=module, purpose=purpose, is_shipped=is_shipped)


_OPTIMIZERS = "optimizers"
_KERNELS = "kernels"
_TRACKERS = "trackers"
_QUANTIZED = "models whose weights are stored quantized"
_TOKENIZERS = "models without a tokenizer.json"
_LINEAR = "faster training of Mamba and related models, which also train without it"

_ALL = (
    _package("bitsandbytes", "bitsandbytes", "8-bit optimizers, 4-bit weights", is_shipped=True),
    _package("deepspeed", "deepspeed", "`accelerate_config: zero2` and similar", is_shipped=True),
    _package("liger-kernel", "liger_kernel", "`use_liger_kernel`", is_shipped=True),
    _package("torchdistx", "torchdistx", _OPTIMIZERS),
    _package("torchao", "torchao", f"{_OPTIMIZERS}; {_QUANTIZED}"),
    _package("galore-torch", "galore_torch", _OPTIMIZERS),
    _package("lomo-optim", "lomo_optim", _OPTIMIZERS),
    _package("grokadamw", "grokadamw", _OPTIMIZERS),
    # Small, and not shipped: transformers 5.23 switches it to its averaged weights in evaluations
    # only. A checkpoint that is saved after a step would have the weights of that step.
    _package("schedulefree", "schedulefree", _OPTIMIZERS),
    _package("apollo-torch", "apollo_torch", _OPTIMIZERS),
    _package("torch-optimi", "optimi", _OPTIMIZERS),
    _package("torch-xla", "torch_xla", _OPTIMIZERS),
    _package("torch-npu", "torch_npu", _OPTIMIZERS),
    _package("kernels", "kernels", f"{_KERNELS} from the hub"),
    _package("flash-attn-3", "flash_attn_interface", _KERNELS),
    _package("flash-attn-4", "flash_attn.cute", _KERNELS),
    _package("causal-conv1d", "causal_conv1d", _LINEAR),
    _package("mamba-ssm", "mamba_ssm", _LINEAR),
    _package("flash-linear-attention", "fla", _LINEAR),
    _package("tensorboardX", "tensorboardX", _TRACKERS, is_shipped=True),
    _package("wandb", "wandb", _TRACKERS, is_shipped=True),
    _package("mlflow-skinny", "mlflow", _TRACKERS, is_shipped=True),
    _package("trackio", "trackio", _TRACKERS, is_shipped=True),
    _package("tensorboard", "tensorboard", _TRACKERS),
    _package("azureml-mlflow", "azureml", _TRACKERS),
    _package("clearml", "clearml", _TRACKERS),
    _package("codecarbon", "codecarbon", _TRACKERS),
    _package("comet_ml", "comet_ml", _TRACKERS),
    _package("dagshub", "dagshub", _TRACKERS),
    _package("dvclive", "dvclive", _TRACKERS),
    _package("flytekit", "flytekit", _TRACKERS),
    _package("neptune", "neptune", _TRACKERS),
    _package("swanlab", "swanlab", _TRACKERS),
    _package("sentencepiece", "sentencepiece", _TOKENIZERS, is_shipped=True),
    _package("tiktoken", "tiktoken", _TOKENIZERS, is_shipped=True),
    _package("gptqmodel", "gptqmodel", _QUANTIZED),
    _package("optimum", "optimum", _QUANTIZED),
    _package("optimum-quanto", "optimum.quanto", _QUANTIZED),
    _package("compressed-tensors", "compressed_tensors", _QUANTIZED),
    _package("hqq", "hqq", _QUANTIZED),
    _package("aqlm", "aqlm", _QUANTIZED),
    _package("vptq", "vptq", _QUANTIZED),
    _package("spqr_quant", "spqr_quant", _QUANTIZED),
    _package("auto-round", "auto_round", _QUANTIZED),
)

PACKAGES: Mapping[str, Package] = {package.name: package for package in _ALL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A requirement of packages: a value of a key, or a kind of model."""

    packages: tuple[str, ...]
    """Any one of them is sufficient."""
    instead: str
    """The alternative that needs none."""

    @property
    def is_met_by_stock(self) -> bool:
        """Whether the stock trainer image has a sufficient package."""
        return any(PACKAGES[name].is_shipped for name in self.packages)

    @property
    def package(self) -> str:
        """The usual one."""
        return self.packages[0]


_PLAIN = "adamw_torch_fused needs none"
_IN_8_BIT = "adamw_8bit needs none and uses as little memory"
_AVERAGING = "adamw_torch_fused with lr_scheduler_type: constant_with_warmup needs none"


def _needs(package: str, instead: str, *values: str) -> dict[str, Need]:
    return dict.fromkeys(values, Need(packages=(package,), instead=instead))


_OF_BITSANDBYTES = (
    *("adamw_bnb_8bit", "adamw_8bit", "ademamix", "ademamix_8bit", "lion_8bit", "lion_32bit"),
    *("paged_adamw_32bit", "paged_adamw_8bit", "paged_ademamix_32bit", "paged_ademamix_8bit"),
    *("paged_lion_32bit", "paged_lion_8bit", "rmsprop_bnb", "rmsprop_bnb_8bit"),
    "rmsprop_bnb_32bit",
)
_OF_GALORE = (
    *("galore_adamw", "galore_adamw_8bit", "galore_adafactor", "galore_adamw_layerwise"),
    *("galore_adamw_8bit_layerwise", "galore_adafactor_layerwise"),
)
_OF_SCHEDULEFREE = ("schedule_free_radam", "schedule_free_adamw", "schedule_free_sgd")

_TENSORBOARD = Need(
    packages=("tensorboardX", "tensorboard"), instead="every run's report has the loss curve"
)
_NO_TRACKER = "wandb, mlflow, tensorboard and trackio need no additional package"

BY_KEY: Mapping[str, Mapping[str, Need]] = {
    OPTIMIZER: {
        **_needs("bitsandbytes", _PLAIN, *_OF_BITSANDBYTES),
        **_needs("galore-torch", _IN_8_BIT, *_OF_GALORE),
        **_needs("apollo-torch", _IN_8_BIT, "apollo_adamw", "apollo_adamw_layerwise"),
        **_needs("lomo-optim", _IN_8_BIT, "lomo", "adalomo"),
        **_needs("torchao", _IN_8_BIT, "adamw_torch_4bit", "adamw_torch_8bit"),
        **_needs("schedulefree", _AVERAGING, *_OF_SCHEDULEFREE),
        **_needs("grokadamw", _PLAIN, "grokadamw"),
        **_needs("torch-optimi", _PLAIN, "stable_adamw"),
        **_needs("torchdistx", _PLAIN, "adamw_anyprecision"),
        **_needs("torch-xla", _PLAIN, "adamw_torch_xla"),
        **_needs("torch-npu", _PLAIN, "adamw_torch_npu_fused"),
    },
    ATTENTION: {
        "flash_attention_3": Need(
            packages=("flash-attn-3", "kernels"), instead="flash_attention_2 needs none"
        ),
        "flash_attention_4": Need(
            packages=("flash-attn-4", "kernels"), instead="flash_attention_2 needs none"
        ),
    },
    TRACKERS: {
        "tensorboard": _TENSORBOARD,
        **_needs("wandb", _NO_TRACKER, "wandb"),
        **_needs("mlflow-skinny", _NO_TRACKER, "mlflow"),
        **_needs("trackio", _NO_TRACKER, "trackio"),
        **_needs("azureml-mlflow", _NO_TRACKER, "azure_ml"),
        **_needs("clearml", _NO_TRACKER, "clearml"),
        **_needs("codecarbon", _NO_TRACKER, "codecarbon"),
        **_needs("comet_ml", _NO_TRACKER, "comet_ml"),
        **_needs("dagshub", _NO_TRACKER, "dagshub"),
        **_needs("dvclive", _NO_TRACKER, "dvclive"),
        **_needs("flytekit", _NO_TRACKER, "flyte"),
        **_needs("neptune", _NO_TRACKER, "neptune"),
        **_needs("swanlab", _NO_TRACKER, "swanlab"),
    },
}
"""Key -> its value -> the requirement. Values without an entry need no package."""

_KERNEL_OF_HUB = re.compile(r"[^/:|]+/[^/:]+(:[^/:]+)?")
_FROM_HUB = Need(packages=("kernels",), instead="flash_attention_2 and sdpa need none")

_UNQUANTIZED = "the model that it was quantized from needs none, with load_in_4bit: true"
BY_STORAGE: Mapping[str, tuple[Need, ...]] = {
    method: tuple(Need(packages=(name,), instead=_UNQUANTIZED) for name in names)
    for method, names in {
        "gptq": ("gptqmodel", "optimum"),
        "awq": ("gptqmodel",),
        "quanto": ("optimum-quanto",),
        "compressed-tensors": ("compressed-tensors",),
        "hqq": ("hqq",),
        "aqlm": ("aqlm",),
        "vptq": ("vptq",),
        "spqr": ("spqr_quant",),
        "eetq": ("kernels",),
        "torchao": ("torchao",),
        "auto-round": ("auto-round",),
    }.items()
}
"""`quantization_config.quant_method` of a model -> the requirement for loading it."""

_TOKENIZER_JSON = (
    "a tokenizer.json next to it needs none: AutoTokenizer's save_pretrained writes one where "
    "the package is installed"
)
BY_TOKENIZER: Mapping[str, Need] = {
    **_needs("sentencepiece", _TOKENIZER_JSON, "tokenizer.model", "spiece.model"),
    **_needs("tiktoken", _TOKENIZER_JSON, "tiktoken.model", "qwen.tiktoken"),
}
"""File of a model without one of `READABLE_TOKENIZERS` -> the requirement for reading it."""
READABLE_TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "tekken.json")

LINEAR_FAMILIES = frozenset(
    {
        *("bamba", "falcon_h1", "falcon_mamba", "granitemoehybrid", "jamba", "kimi_linear"),
        *("lfm2", "lfm2_moe", "mamba", "mamba2", "nemotron_h", "olmo_hybrid", "qwen3_5"),
        *("qwen3_5_moe", "qwen3_next", "zamba", "zamba2"),
    }
)
"""`model_type` of models that transformers computes several times faster with causal-conv1d."""


def need_of(key: str, value: Any) -> Need | None:
    """The requirement of one value of a key; None if it needs no package."""
    if not isinstance(value, str):
        return None
    if key == ATTENTION and _KERNEL_OF_HUB.fullmatch(value):
        return _FROM_HUB
    return BY_KEY.get(key, {}).get(value)


def needs_of_tokenizer(names: Collection[str]) -> Iterator[tuple[str, Need]]:
    """The only tokenizer files of a model, and the requirements for reading them."""
    if not any(name in names for name in READABLE_TOKENIZERS):
        yield from ((file, need) for file, need in BY_TOKENIZER.items() if file in names)


def needs_of_storage(model: Mapping[str, Any]) -> Iterator[tuple[str, Need]]:
    """The storage format of a model's weights, from its config.json, and the requirements for
    loading them.
    """
    found = model.get("quantization_config")
    method = found.get("quant_method") if isinstance(found, Mapping) else None
    if isinstance(method, str):
        yield from ((method, need) for need in BY_STORAGE.get(method, ()))
