# SPDX-License-Identifier: Apache-2.0
"""Keys that a config must not set, and keys without an effect. No I/O here."""

from collections.abc import Iterator, Mapping
from typing import Any

from finetune_spec.config.parse.schema import Schema
from finetune_spec.config.problem import Problem, quoted, warning
from finetune_spec.variables import loads_code

OPERATOR_OWNED = {
    "output_dir": "set spec.output.uri instead",
    "resume_from_checkpoint": "every attempt resumes from the newest complete checkpoint",
    "enable_jit_checkpoint": "a trainer that is stopped saves a checkpoint automatically",
}
"""Keys that would conflict with the operator, and the alternative."""

_SECRET = "spec.output.credentialsSecretRef"

IN_PLAIN_SIGHT = f"jobs are readable by others: put it into the Secret that {_SECRET} names"

_LAUNCHER_VARIABLES = (
    "RANK",
    "LOCAL_RANK",
    "GROUP_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
)
"""The ranks find each other through these; TRL would set them again in every rank."""

_SECRET_ENDINGS = (
    "_TOKEN",
    "_API_KEY",
    "_SECRET",
    "_SECRET_ACCESS_KEY",
    "_PASSWORD",
    "_ACCOUNT_KEY",
)

_WITHOUT_EFFECT: Mapping[str, tuple[Any, str]] = {
    "do_predict": (True, "after training, only a few samples are generated, for the report"),
    "disable_tqdm": (
        False,
        "progress is reported in the job's status, and always shown in a terminal",
    ),
}
"""Key -> the value that has no effect, and the reason."""

_AGAINST_RESUMING: Mapping[str, str] = {
    "save_only_model": "an attempt that resumes would restart optimizer and schedule",
    "ignore_data_skip": "an attempt that resumes would read the data from the beginning again",
}
"""Key -> the consequence of setting it in a pod that may be moved at any time."""


def check_owned_keys(config: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    for key, instead in OPERATOR_OWNED.items():
        if key in config and not _is_default(key, config[key], schema):
            yield Problem(path=key, message=f"is set by the operator: {instead}")
    if config.get("hub_token"):
        yield Problem(path="hub_token", message=f"{IN_PLAIN_SIGHT}, as HF_TOKEN")


def check_environment(config: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    env = config.get("env")
    for name, value in env.items() if isinstance(env, Mapping) else ():
        if name in _LAUNCHER_VARIABLES:
            message = "is set by the operator: the launcher passes it to each process"
            yield Problem(path=f"env.{name}", message=message)
        elif loads_code(str(name)):
            message = "determines which code is loaded: build an image that does not need it"
            yield Problem(path=f"env.{name}", message=message)
        elif str(name).upper().endswith(_SECRET_ENDINGS) and value:
            yield warning(f"env.{name}", IN_PLAIN_SIGHT)


def warn_of_keys_without_effect(config: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    for key, (value, why) in _WITHOUT_EFFECT.items():
        if config.get(key) is value:
            yield warning(key, f"found {quoted(value)}, which has no effect: {why}")
    if config.get("local_rank", -1) not in (-1, None):
        yield warning("local_rank", "has no effect: the launcher sets the rank of each process")
    if config.get("do_eval") is True and not _evaluates(config):
        yield warning("do_eval", "has no effect: write eval_strategy: steps, or epoch")


def warn_of_incomplete_resuming(config: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    for key, consequence in _AGAINST_RESUMING.items():
        if config.get(key) is True:
            yield warning(key, consequence)


def _is_default(key: str, value: Any, schema: Schema) -> bool:
    return bool(value == schema.default(key)) if key in schema.properties else False


def _evaluates(config: Mapping[str, Any]) -> bool:
    return config.get("eval_strategy", config.get("evaluation_strategy", "no")) not in ("no", None)
