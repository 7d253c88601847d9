# SPDX-License-Identifier: Apache-2.0
"""Model directories spoiled in one way each: none of them may be trained. Pure except for the
directory.

Otherwise the missing part would be initialized at random, trained, verified and published.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.model_folders import POINTER

WEIGHTS = "model.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoiledModel:
    """The change to a copy of a valid model."""

    how: str
    spoil: Callable[[Path], object]


def models(seed: int, count: int) -> Iterator[SpoiledModel]:
    for number in range(count):
        dice = random.Random(f"{seed}-{number}")  # noqa: S311 - no secret
        yield _WAYS[number % len(_WAYS)](dice)


Tensors = Mapping[str, Any]


def _rewritten(change: Callable[[Tensors], Tensors]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        changed = change(load_file(folder / WEIGHTS))
        save_file({name: it.clone() for name, it in changed.items()}, folder / WEIGHTS)

    return spoil


def _pointer(dice: random.Random) -> SpoiledModel:
    return SpoiledModel(
        how="weights that are a pointer of Git LFS",
        spoil=lambda folder: (folder / WEIGHTS).write_text(POINTER),
    )


def _cut(dice: random.Random) -> SpoiledModel:
    share = dice.uniform(0.1, 0.99)

    def spoil(folder: Path) -> None:
        body = (folder / WEIGHTS).read_bytes()
        (folder / WEIGHTS).write_bytes(body[: int(len(body) * share)])

    return SpoiledModel(how=f"weights cut off after {share:.0%}", spoil=spoil)


def _without_tensors(dice: random.Random) -> SpoiledModel:
    part = dice.choice(["lm_head", "embed_tokens", "layers.1.", "self_attn.q_proj", "mlp", "norm"])

    def without(tensors: Tensors) -> Tensors:
        return {name: it for name, it in tensors.items() if part not in name}

    return SpoiledModel(how=f"no tensors of {part}", spoil=_rewritten(without))


def _prefixed(dice: random.Random) -> SpoiledModel:
    prefix = dice.choice(["_orig_mod.", "module.", "base_model.model.", "student."])

    def prefixed(tensors: Tensors) -> Tensors:
        return {f"{prefix}{name}": it for name, it in tensors.items()}

    return SpoiledModel(how=f"names that begin with {prefix}", spoil=_rewritten(prefixed))


def _of_another_architecture(dice: random.Random) -> SpoiledModel:
    def renamed(tensors: Tensors) -> Tensors:
        return {name.replace("model.layers", "transformer.h"): it for name, it in tensors.items()}

    return SpoiledModel(how="tensors of another architecture", spoil=_rewritten(renamed))


def _of_another_size(dice: random.Random) -> SpoiledModel:
    key = dice.choice(["hidden_size", "intermediate_size", "vocab_size", "num_hidden_layers"])

    def spoil(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config[key] *= 2
        (folder / "config.json").write_text(json.dumps(config))

    return SpoiledModel(how=f"twice the {key} that the weights have", spoil=spoil)


def _missing_shard(dice: random.Random) -> SpoiledModel:
    lost = dice.randrange(2)

    def spoil(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(folder / WEIGHTS)
        (folder / WEIGHTS).unlink()
        names = [f"model-{place + 1:05}-of-00002.safetensors" for place in range(2)]
        index = {name: names[place % 2] for place, name in enumerate(sorted(tensors))}
        kept = {name: it for name, it in tensors.items() if index[name] != names[lost]}
        save_file(kept, folder / names[1 - lost])
        document = {"metadata": {}, "weight_map": index}
        (folder / "model.safetensors.index.json").write_text(json.dumps(document))

    return SpoiledModel(how=f"shard {lost + 1} of 2 is missing", spoil=spoil)


def _no_decoder(dice: random.Random) -> SpoiledModel:
    name = dice.choice(["LlamaModel", "LlamaForSequenceClassification", "BertForMaskedLM"])

    def spoil(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "architectures": [name]}))

    return SpoiledModel(how=f"the architecture {name}", spoil=spoil)


def _only_gguf(dice: random.Random) -> SpoiledModel:
    def spoil(folder: Path) -> None:
        (folder / WEIGHTS).rename(folder / "model.gguf")

    return SpoiledModel(how="GGUF alone", spoil=spoil)


_WAYS: tuple[Callable[[random.Random], SpoiledModel], ...] = (
    _pointer,
    _cut,
    _without_tensors,
    _prefixed,
    _of_another_architecture,
    _of_another_size,
    _missing_shard,
    _no_decoder,
    _only_gguf,
)
