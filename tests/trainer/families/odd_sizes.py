# SPDX-License-Identifier: Apache-2.0
"""Settings that make single architectures small, in addition to those that `small` finds by the
names of keys; and layers that the published models have but the class's defaults lack.
"""

from collections.abc import Mapping
from typing import Any

_CONVOLVED = {"layer_types": ["conv", "full_attention"]}


def _sections(*sizes: int) -> Mapping[str, Any]:
    """The parts of a head that rotate with time, height and width."""
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [*sizes]}
    return {"text_config": {"rope_parameters": rope}}


ODD_SIZES: Mapping[str, Mapping[str, Any]] = {
    "chameleon": {"vocabulary_map": {"<image>": 96}},
    "codegen": {"n_head": 4},
    "dots1": {"n_shared_experts": 1},
    "emu3": {"vocabulary_map": {"<image>": 96}},
    "falcon_h1": {"mamba_d_ssm": 64},
    "glm46v": _sections(2, 3, 3),
    "glm4v": _sections(2, 3, 3),
    "glm4v_moe": _sections(1, 1, 2),
    "glm_ocr": _sections(2, 3, 3),
    "glmga": _sections(2, 3, 3),
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "lfm2": _CONVOLVED,
    "lfm2_moe": _CONVOLVED,
    "lfm2_vl": {"text_config": _CONVOLVED},
    "mamba2": {"num_heads": 4},
    "paddleocr_vl": _sections(2, 3, 3),
    "qwen2_5_vl": _sections(2, 3, 3),
    "qwen2_vl": _sections(2, 3, 3),
    "xlm": {"emb_dim": 32},
    "zaya": {"num_experts_per_tok": 1},
}
