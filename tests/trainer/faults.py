# SPDX-License-Identifier: Apache-2.0
"""Breaks a training like a wrong library, or a GPU that is too small.

Each patches a rank's process, or the test's own, until it is undone.
"""

from functools import partial
from typing import Any
from unittest import mock

WHOLE_LAYER = "model.layers.1.mlp.down_proj"
LORA_LAYER = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.default"


def detach(layer: str) -> Any:
    """Computes with detached weights of a layer, so that no gradient reaches them."""
    from torch.nn import functional

    from finetune_trainer.ranks import training

    build = training.build_trainer

    def built(*args: Any) -> Any:
        trainer = build(*args)
        module = trainer.model.get_submodule(layer)
        module.forward = lambda rows: functional.linear(rows, module.weight.detach())
        return trainer

    return mock.patch.object(training, "build_trainer", built)


def skip_in_optimizer(layer: str) -> Any:
    """Gives the optimizer all trained tensors except one."""
    from finetune_trainer.ranks.building import Trainer

    create = Trainer.create_optimizer

    def created(trainer: Any, *args: Any, **options: Any) -> Any:
        optimizer = create(trainer, *args, **options)
        skipped = trainer.model.get_submodule(layer).weight
        for group in optimizer.param_groups:
            group["params"] = [it for it in group["params"] if it is not skipped]
        return optimizer

    return mock.patch.object(Trainer, "create_optimizer", created)


def put_back(layer: str) -> Any:
    """Saves a layer with its weights from before training."""
    import torch

    from finetune_trainer.ranks import training

    build, save = training.build_trainer, training.save
    began: dict[str, torch.Tensor] = {}

    def built(*args: Any) -> Any:
        trainer = build(*args)
        began[layer] = trainer.model.get_submodule(layer).weight.detach().clone()
        return trainer

    def saved(trainer: Any, workspace: Any) -> None:
        trainer.model.get_submodule(layer).weight.data.copy_(began[layer])
        save(trainer, workspace)

    return mock.patch.multiple(training, build_trainer=built, save=saved)


def offload(layer: str) -> Any:
    """Simulates accelerate's handling of a layer for which `device_map: auto` finds no room: its
    weights are in host memory, and only "meta" tensors are in the model. A fake of a GPU that is
    too small.
    """
    from accelerate import cpu_offload

    from finetune_trainer.ranks.model import loading

    create = loading.create_model_from_path

    def created(*args: Any, **options: Any) -> Any:
        model, report = create(*args, **options)
        cpu_offload(model.get_submodule(layer), execution_device="cpu")
        return model, report

    return mock.patch.object(loading, "create_model_from_path", created)


def add_spare_layer() -> Any:
    """Adds a layer to the model that is never called, such as an expert that is never selected."""
    from torch import nn

    from finetune_trainer.ranks import building, training

    def loaded(arguments: Any) -> Any:
        model = building.load_model(arguments)
        model.spare = nn.Linear(4, 4)
        return model

    build = partial(building.build_trainer, load=loaded)
    return mock.patch.object(training, "build_trainer", build)


def detach_in_this_rank() -> None:
    """For ranks in separate processes."""
    detach(WHOLE_LAYER).start()
