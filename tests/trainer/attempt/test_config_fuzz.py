# SPDX-License-Identifier: Apache-2.0
"""The check's verdict on fuzzed configs agrees with the trainer's behaviour.

The trainer's part is real: its plan, TRL's parser with TRL's dataclasses, the objects built from
them, and in the soak a training of a step or two.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from finetune_spec.config.parse.schema import load_schema
from trainer.config_fuzz.comparison import (
    OURS,
    check,
    false_alarms,
    stops_later,
    wrong_parts,
)
from trainer.config_fuzz.draws import Fuzzed
from trainer.config_fuzz.generator import fuzz, keys_of
from trainer.config_fuzz.number_values import NUMBERS
from trainer.config_fuzz.text_values import VALUES

SCHEMA = load_schema()
SEED = 16
PARSED = [500, pytest.param(1500, marks=pytest.mark.long)]
PARSED_IN_SOAK = 10_000
TRAINED = [35, pytest.param(100, marks=pytest.mark.long)]
TRAINED_IN_SOAK = 3000

NOT_TRAINED_HERE = OURS | {
    "chat_template_path",  # a file or a hub name
    "dataloader_num_workers",  # processes
    "dataset_num_proc",
    # A process group that is destroyed while a DDP model lives can hang in torch forever.
    "ddp_backend",
    "fsdp",
    "deepspeed",  # not installed
    "push_to_hub",
    "report_to",
    "torch_compile",  # minutes of compiling
    "torch_compile_backend",
    "torch_compile_mode",
    # Changes the model's classes for all later trainings of the process, and requires a GPU.
    "use_liger_kernel",
}


def test_every_key_of_the_schema_has_values_to_draw() -> None:
    drawn = {*NUMBERS, *VALUES}
    plain = {
        key
        for key in keys_of(SCHEMA)
        if "enum" in SCHEMA.properties[key] or set(SCHEMA.types(key)) <= {"boolean", "null"}
    }

    assert set(keys_of(SCHEMA)) == drawn | plain


@pytest.mark.slow
def test_our_own_keys_are_those_that_trl_lacks() -> None:
    from trl.scripts.sft import make_parser

    theirs = {action.dest for action in make_parser()._actions}

    assert {*SCHEMA.properties} - theirs - {"env"} == OURS


def test_the_same_seed_generates_the_same_configs() -> None:
    once, again = (list(fuzz(SCHEMA, seed=3, count=50)) for _ in range(2))

    assert once == again


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
@pytest.mark.parametrize("count", PARSED)
def test_the_check_agrees_with_the_trainers_parser(tmp_path: Path, quiet: None, count: int) -> None:
    _compare_with_parser(tmp_path, count)


@pytest.mark.soak
def test_the_check_agrees_with_the_trainers_parser_on_10_000_configs(
    tmp_path: Path, quiet: None
) -> None:
    _compare_with_parser(tmp_path, PARSED_IN_SOAK)


def _compare_with_parser(place: Path, count: int) -> None:
    # Importing TRL takes a quarter of a minute.
    from trainer.config_fuzz.real_parser import Answer, judge

    counts: Counter[tuple[str, str]] = Counter()
    accepted_in_vain, refused_in_vain = [], []
    for fuzzed in fuzz(SCHEMA, seed=SEED, count=count):
        findings = check(fuzzed)
        verdict = judge(fuzzed, place)
        counts["refused" if findings else "accepted", verdict.answer.value] += 1
        if not findings and verdict.answer is Answer.REFUSED:
            accepted_in_vain.append((_shown(fuzzed), verdict.error))
        if verdict.answer is Answer.ACCEPTED:
            refused_in_vain += [
                (_shown(fuzzed), str(finding.problem)) for finding in false_alarms(fuzzed, findings)
            ]

    print(f"\n{count} configs, (check, trainer): {dict(counts)}")
    assert not accepted_in_vain, _told(accepted_in_vain)
    assert not refused_in_vain, _told(refused_in_vain)


@pytest.mark.slow
@pytest.mark.parametrize("count", TRAINED)
def test_accepted_configs_train_and_refused_ones_stop(
    tmp_path: Path, quiet: None, count: int
) -> None:
    _compare_with_training(tmp_path, count)


@pytest.mark.soak
def test_accepted_configs_train_in_3000_trainings(tmp_path: Path, quiet: None) -> None:
    _compare_with_training(tmp_path, TRAINED_IN_SOAK)


def _compare_with_training(place: Path, count: int) -> None:
    from trainer.config_fuzz.real_parser import Answer
    from trainer.config_fuzz.real_training import open_workshop, train

    workshop = open_workshop(place)
    counts: Counter[tuple[str, str]] = Counter()
    accepted_in_vain, refused_in_vain = [], []
    for fuzzed in islice(_trainable(), count):
        findings = check(fuzzed)
        verdict = train(fuzzed, workshop)
        counts["refused" if findings else "accepted", verdict.answer.value] += 1
        if not findings and verdict.answer is Answer.REFUSED:
            accepted_in_vain.append((_shown(fuzzed), verdict.error))
        if verdict.answer is Answer.ACCEPTED and stops_later(fuzzed, findings):
            refused_in_vain.append((_shown(fuzzed), [str(finding.problem) for finding in findings]))

    print(f"\n{count} trainings, (check, trainer): {dict(counts)}")
    assert not accepted_in_vain, _told(accepted_in_vain)
    assert not refused_in_vain, _told(refused_in_vain)


def _trainable() -> Iterator[Fuzzed]:
    """Configs that this machine can judge: with valid parts, and for CPUs."""
    for fuzzed in fuzz(SCHEMA, seed=SEED, count=10**6):
        if fuzzed.is_right_by_parts and not fuzzed.gpus and not NOT_TRAINED_HERE & {*fuzzed.config}:
            yield fuzzed


def _told(disagreements: list[tuple[Any, ...]]) -> str:
    return "\n".join(" | ".join(str(part) for part in found) for found in disagreements)


def _shown(fuzzed: Fuzzed) -> dict[str, Any]:
    return wrong_parts(fuzzed) or fuzzed.config
