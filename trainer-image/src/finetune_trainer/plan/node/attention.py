# SPDX-License-Identifier: Apache-2.0
"""Whether this image has the kernels for `attn_implementation`. Nothing is imported here.

`flash_attention_2` is always available: without its package, torch's own attention is used.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

from finetune_contract.reasons import Reason
from finetune_spec.attention import FLASH_2
from finetune_spec.config import SftConfig
from finetune_trainer.failures.errors import attempt_failed

PACKAGES: Mapping[str, str] = {
    "flash_attention_2": "flash-attn",
    "flash_attention_3": "flash-attn-3",
    "flash_attention_4": "flash-attn-4",
}
FROM_HUB = "kernels"
"""With it transformers fetches kernels that are not installed."""


def is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def has_flash_attention(name: str, has: Callable[[str], bool] = is_installed) -> bool:
    """Whether transformers finds this one itself, as a package or by fetching it."""
    return has(PACKAGES[name]) or has(FROM_HUB)


def require_attention(config: SftConfig, has: Callable[[str], bool] = is_installed) -> None:
    """
    Raises:
        AttemptFailed: the config names flash attention, which this image lacks.
    """
    named = str(config.attention)
    package = PACKAGES.get(named)
    if package is None or named == FLASH_2 or has_flash_attention(named, has):
        return
    raise attempt_failed(
        Reason.ATTENTION_NOT_INSTALLED,
        f'attn_implementation: found "{named}", but this trainer image lacks the package {package}',
        f"leave attn_implementation out, or set it to {FLASH_2}, whose kernels torch has; or set "
        f"spec.image to an image that also has {package}, or {FROM_HUB}",
    )
