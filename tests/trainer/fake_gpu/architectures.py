# SPDX-License-Identifier: Apache-2.0
"""Real architectures, by the numbers of their published `config.json`."""

from collections.abc import Callable, Mapping

from transformers import (
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)


def _llama(hidden: int, inner: int, layers: int, heads: int, groups: int) -> LlamaConfig:
    return LlamaConfig(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        vocab_size=128256,
        max_position_embeddings=8192,
    )


def _qwen2(
    hidden: int, inner: int, layers: int, heads: int, groups: int, words: int = 152064
) -> Qwen2Config:
    return Qwen2Config(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        vocab_size=words,
        max_position_embeddings=32768,
        tie_word_embeddings=words != 152064,
    )


ARCHITECTURES: Mapping[str, Callable[[], PreTrainedConfig]] = {
    "GPT-2 124M": lambda: GPT2Config(attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0),
    "SmolLM2 135M": lambda: LlamaConfig(
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        vocab_size=49152,
        tie_word_embeddings=True,
        max_position_embeddings=8192,
    ),
    "Qwen2.5 0.5B": lambda: _qwen2(896, 4864, 24, 14, 2, 151936),
    "Qwen2.5 1.5B": lambda: _qwen2(1536, 8960, 28, 12, 2, 151936),
    "Gemma 3 1B": lambda: Gemma3TextConfig(
        hidden_size=1152,
        intermediate_size=6912,
        num_hidden_layers=26,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=256,
        vocab_size=262144,
        max_position_embeddings=32768,
        sliding_window=512,
    ),
    "Gemma 2B": lambda: GemmaConfig(
        hidden_size=2048,
        intermediate_size=16384,
        num_hidden_layers=18,
        num_attention_heads=8,
        num_key_value_heads=1,
        head_dim=256,
        vocab_size=256000,
    ),
    "Gemma 2 9B": lambda: Gemma2Config(
        hidden_size=3584,
        intermediate_size=14336,
        num_hidden_layers=42,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=256,
        vocab_size=256000,
    ),
    "Phi-3 mini": lambda: Phi3Config(),
    "Mistral 7B": lambda: MistralConfig(
        num_key_value_heads=8, vocab_size=32000, sliding_window=4096
    ),
    "Qwen2.5 7B": lambda: _qwen2(3584, 18944, 28, 28, 4),
    "Qwen3 8B": lambda: Qwen3Config(
        hidden_size=4096,
        intermediate_size=12288,
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        vocab_size=151936,
    ),
    "Llama 3 8B": lambda: _llama(4096, 14336, 32, 32, 8),
    "Qwen2.5 32B": lambda: _qwen2(5120, 27648, 64, 40, 8),
    "Llama 3 70B": lambda: _llama(8192, 28672, 80, 64, 8),
    "Qwen2.5 72B": lambda: _qwen2(8192, 29568, 80, 64, 8),
}
