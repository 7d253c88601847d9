# SPDX-License-Identifier: Apache-2.0
"""A model that is spread over the processes: where accelerate and the Trainer need a word more."""

import os
from typing import Any

import torch.distributed as dist
from accelerate import PartialState
from accelerate.utils import DistributedType
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from trl import SFTConfig


def let_fsdp_use_cpus(training: SFTConfig) -> None:
    """Have accelerate take up FSDP where the config asks for it and the processes run on CPUs.

    torch shards over gloo as well, but `AcceleratorState.__init__` looks for FSDP only among
    processes that have a device each, and would train under DDP without a word. It reads of what
    kind they are from the state that is set here; that they are on CPUs is told by the device,
    which stays.
    """
    state = PartialState()
    if training.fsdp and state.distributed_type is DistributedType.MULTI_CPU:
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def let_deepspeed_use_cpus(training: SFTConfig) -> None:
    """Have DeepSpeed train on CPUs, over the process group that is there, without a compiler.

    On GPUs accelerate has told it of the group by now. On CPUs it would compile a kernel for a
    reduction that only inference does: in minutes where there is a compiler, not at all in an image
    without one. It asks a table of what can be compiled, which is made when it is first read.
    """
    if training.deepspeed_plugin is None or training.device.type != "cpu":
        return
    os.environ["DS_ACCELERATOR"] = "cpu"
    from deepspeed import comm, ops

    ops.__compatible_ops__ = {}
    comm.init_distributed(dist_backend=dist.get_backend(), auto_mpi_discovery=False)


def gather_when_saved(trainer: Any) -> None:
    """Have the first process gather the model when it is saved next, to be loaded as one.

    With `SHARDED_STATE_DICT`, which is for checkpoints, `Trainer.save_model` saves nothing.
    """
    if trainer.is_fsdp_enabled:
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")


def let_go(trainer: Any) -> None:
    """Release the trained model, so that what its GPUs held is free once the trainer is gone.

    accelerate refers to everything that it has prepared, and DeepSpeed's engine outlives its
    destruction. The process group stays, and so does who owns it.
    """
    wrapped = getattr(trainer.accelerator, "deepspeed_engine_wrapped", None)
    engine = None if wrapped is None else wrapped.engine
    trainer.accelerator.free_memory()
    if engine is not None:
        _dismantle(engine)


def _dismantle(engine: Any) -> None:
    """Empty an engine that was destroyed, part by part.

    Closures refer from hooks of its parameters to optimizer and engine. Some hooks are held by
    autograd, where Python's collector can't follow, so the parameters and the parts of them that
    this process holds would stay for ever (seen with DeepSpeed 0.19).
    """
    from deepspeed.runtime.zero import parameter_offload

    # It keeps the module that it last went into.
    parameter_offload.FWD_MODULE_STACK.clear()
    optimizer = engine.optimizer
    offload = getattr(optimizer, "parameter_offload", None)
    coordinator = getattr(offload, "param_coordinator", None)
    for part in (*engine.parameters(), coordinator, offload, optimizer, *engine.modules()):
        if part is not None:
            vars(part).clear()


def load_whole_from_here_on() -> None:
    """A model that is loaded next is this process's own: under ZeRO-3 it would be shared too.

    That is what transformers does while there is a config for DeepSpeed, and the arguments have it.
    """
    unset_hf_deepspeed_config()
