# SPDX-License-Identifier: Apache-2.0
"""`accelerate_config` against the rest of the config, and against the job. No I/O here.

The other rules check the keys that a profile resolves to, as if the user had written them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from finetune_spec.config.check.launch import KEY
from finetune_spec.config.parse.launch.options import JOBS_OWN
from finetune_spec.config.parse.launch.profiles import NAMED
from finetune_spec.config.parse.launch.resolution import SAID_TWICE, precision_of
from finetune_spec.config.parse.reading import Context, Reading
from finetune_spec.config.problem import Problem, quoted, warning


def check_said_twice(config: Reading, context: Context) -> Iterator[Problem]:
    if config[KEY] is None:
        return
    for key in SAID_TWICE:
        if config.is_set(key) and config[key] and key not in config.spellings:
            yield Problem(
                path=config.name(key),
                message=f"found together with {KEY}, which already sets it: remove one of them",
            )


def check_one_process(config: Reading, context: Context) -> Iterator[Problem]:
    """`accelerate launch` would start one process and leave the other GPUs idle."""
    profile, world = _profile(config), context.world_size
    if profile.get("distributed_type") in ("NO", False) and world is not None and world > 1:
        yield Problem(
            path=KEY if isinstance(config[KEY], str) else f"{KEY}.distributed_type",
            message=f"is for one process, and the job has {world}: write ddp, fsdp2, zero2 or "
            "zero3, or request one GPU in spec.resources.gpusPerNode",
        )


def check_same_precision(config: Reading, context: Context) -> Iterator[Problem]:
    """TRL would use `bf16` and `fp16`, and not report that the profile differs."""
    wanted = precision_of(_profile(config))
    if wanted is None:
        return
    for key in ("bf16", "fp16"):
        is_own = config.is_set(key) and key not in config.spellings
        if is_own and config[key] is not None and bool(config[key]) != (wanted == key):
            yield Problem(
                path=f"{KEY}.mixed_precision",
                message=f"found {quoted(wanted)} together with {key}: {quoted(config[key])}: "
                "remove one of them",
            )


def advise_on_precision(config: Reading, context: Context) -> Iterator[Problem]:
    """In `trl sft`, its own default, bf16, overrides a profile without mixed precision."""
    if precision_of(_profile(config)) == "no" and "bf16" in config.spellings:
        if context.gpus_per_node == 0:
            return
        yield warning(
            f"{KEY}.mixed_precision",
            'found "no", so everything is computed in dtype: for bf16, TRL\'s default, remove it',
        )


def advise_on_the_jobs_own(config: Reading, context: Context) -> Iterator[Problem]:
    """The job sets the number of processes and how they find each other."""
    profile = _profile(config)
    counts = {
        "num_processes": (context.world_size, "processes", "nodes x gpusPerNode"),
        "num_machines": (context.nodes, "nodes", "nodes"),
    }
    for key, (has, noun, field) in counts.items():
        found = profile.get(key)
        if found not in (None, has, -1) and has is not None:
            yield warning(
                f"{KEY}.{key}",
                f"found {quoted(found)}, but the job has {has} {noun}, as set by spec.resources: "
                f"{field}",
            )
    for key in JOBS_OWN:
        if profile.get(key) not in _USUAL:
            yield warning(f"{KEY}.{key}", "is ignored: the job's processes find each other")


_USUAL: tuple[Any, ...] = (None, 0, "0", "", "all", "static", {}, False)


def _profile(config: Reading) -> Mapping[str, Any]:
    given = config[KEY]
    found = NAMED.get(given) if isinstance(given, str) else given
    return found if isinstance(found, Mapping) else {}


RULES = (
    check_said_twice,
    check_one_process,
    check_same_precision,
    advise_on_precision,
    advise_on_the_jobs_own,
)
