# SPDX-License-Identifier: Apache-2.0
"""A model that is sharded over the processes: corrections for accelerate and the Trainer."""

import os
from typing import Any

import torch.distributed as dist
from accelerate import PartialState
from accelerate.utils import DistributedType
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from trl import SFTConfig


def let_fsdp_use_cpus(training: SFTConfig) -> None:
    """Makes accelerate use FSDP if the config requests it and the processes run on CPUs.

    torch shards with gloo as well, but `AcceleratorState.__init__` uses FSDP only for processes
    with a device each, and would silently train with DDP. It reads the kind of processes from the
    state that is set here; the device, which does not change, still shows that they are on CPUs.
    """
    state = PartialState()
    if training.fsdp and state.distributed_type is DistributedType.MULTI_CPU:
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def let_deepspeed_use_cpus(training: SFTConfig) -> None:
    """Makes DeepSpeed train on CPUs, with the existing process group, without a compiler.

    On GPUs accelerate has already passed it the group. On CPUs it would compile a kernel for a
    reduction that only inference needs: in minutes if there is a compiler, and with an error in an
    image without one. It reads a table of operations that can be compiled, which is built when it
    is first read.
    """
    if training.deepspeed_plugin is None or training.device.type != "cpu":
        return
    os.environ["DS_ACCELERATOR"] = "cpu"
    from deepspeed import comm, ops

    ops.__compatible_ops__ = {}
    comm.init_distributed(dist_backend=dist.get_backend(), auto_mpi_discovery=False)


def gather_when_saved(trainer: Any) -> None:
    """Makes the first process gather the model at the next save, to be loaded as one.

    With `SHARDED_STATE_DICT`, which is for checkpoints, `Trainer.save_model` saves nothing.
    """
    if trainer.is_fsdp_enabled:
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")


def let_go(trainer: Any) -> None:
    """Releases the trained model, so that its GPU memory is free after the trainer is deleted.

    accelerate refers to everything that it has prepared, and DeepSpeed's engine outlives its
    destruction. The process group stays, and so does its owner.
    """
    wrapped = getattr(trainer.accelerator, "deepspeed_engine_wrapped", None)
    engine = None if wrapped is None else wrapped.engine
    trainer.accelerator.free_memory()
    if engine is not None:
        _dismantle(engine)


def _dismantle(engine: Any) -> None:
    """Empties an engine that was destroyed, part by part.

    Closures refer from hooks of its parameters to optimizer and engine. autograd keeps some hooks,
    which Python's collector cannot follow, so the parameters and this process's parts of them would
    never be freed (seen with DeepSpeed 0.19).
    """
    from deepspeed.runtime.zero import parameter_offload

    # It keeps the last module that it entered.
    parameter_offload.FWD_MODULE_STACK.clear()
    optimizer = engine.optimizer
    offload = getattr(optimizer, "parameter_offload", None)
    coordinator = getattr(offload, "param_coordinator", None)
    for part in (*engine.parameters(), coordinator, offload, optimizer, *engine.modules()):
        if part is not None:
            vars(part).clear()


def load_whole_from_here_on() -> None:
    """Models that are loaded after this belong to this process: under ZeRO-3 they would be sharded
    too.

    transformers does that while a config for DeepSpeed exists, and the arguments refer to it.
    """
    unset_hf_deepspeed_config()
