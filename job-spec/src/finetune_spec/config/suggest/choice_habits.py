# SPDX-License-Identifier: Apache-2.0
"""What people write for a choice that is called otherwise: from other tools, from older versions.

Only a hint hangs on it: what is not here gets the name that looks most like it.
"""

from collections.abc import Mapping

HABITS: Mapping[str, Mapping[str, str]] = {
    "attn_implementation": {
        **dict.fromkeys(("flash", "flash_attn", "flash_attention", "fa2"), "flash_attention_2"),
        **dict.fromkeys(("flash_attn_2", "flash-attn", "flash_attn2"), "flash_attention_2"),
        **dict.fromkeys(("fa3", "flash_attn_3"), "flash_attention_3"),
        **dict.fromkeys(("flex", "flex_attn"), "flex_attention"),
        **dict.fromkeys(("torch_sdpa", "xformers"), "sdpa"),
    },
    "dtype": {
        **dict.fromkeys(("bf16", "torch.bfloat16"), "bfloat16"),
        **dict.fromkeys(("fp16", "half", "torch.float16"), "float16"),
        **dict.fromkeys(("fp32", "float", "full", "torch.float32"), "float32"),
    },
    "eval_strategy": {"none": "no", "never": "no", "epochs": "epoch", "step": "steps"},
    "logging_strategy": {"none": "no", "never": "no", "epochs": "epoch", "step": "steps"},
    "log_level": {"warn": "warning"},
    "log_level_replica": {"warn": "warning"},
    "lr_scheduler_type": {
        **dict.fromkeys(("cosine_annealing", "cosineannealinglr"), "cosine"),
        **dict.fromkeys(("warmup_linear", "linear_with_warmup"), "linear"),
        "cosine_with_warmup": "cosine",
        "wsd": "warmup_stable_decay",
        "none": "constant",
    },
    "optim": {
        **dict.fromkeys(("adam", "adamw", "adamw_hf", "adamw_apex_fused"), "adamw_torch"),
        **dict.fromkeys(("paged_adamw", "adamw_paged"), "paged_adamw_32bit"),
        **dict.fromkeys(("adam8bit", "adamw8bit", "8bit_adam"), "adamw_bnb_8bit"),
        "lion": "lion_32bit",
        "adamw_fused": "adamw_torch_fused",
    },
    "packing_strategy": {"ffd": "bfd", "bfd-requeue": "bfd_split", "bfd_requeue": "bfd_split"},
    "report_to": {
        **dict.fromkeys(("comet", "cometml"), "comet_ml"),
        **dict.fromkeys(("tb", "tensor_board"), "tensorboard"),
        **dict.fromkeys(("azure", "azureml"), "azure_ml"),
        **dict.fromkeys(("w&b", "weights_and_biases"), "wandb"),
        **dict.fromkeys(("no", "null", "false", ""), "none"),
    },
    "save_strategy": {"none": "no", "never": "no", "epochs": "epoch", "step": "steps"},
}
"""Key -> what people write, in lower case -> what it is called."""
