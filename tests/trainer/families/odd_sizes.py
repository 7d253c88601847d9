# SPDX-License-Identifier: Apache-2.0
"""What single architectures need to be small, beside what `small` finds by the names of their keys."""

from collections.abc import Mapping
from typing import Any

ODD_SIZES: Mapping[str, Mapping[str, Any]] = {
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "falcon_h1": {"mamba_d_ssm": 64},
    "emu3": {"vocabulary_map": {"<image>": 96}},
    "chameleon": {"vocabulary_map": {"<image>": 96}},
    "codegen": {"n_head": 4},
}
