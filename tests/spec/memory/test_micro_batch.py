# SPDX-License-Identifier: Apache-2.0
"""`per_device_train_batch_size: auto`: validity, meaning, and result."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_spec.config import Context, check_value, parse_config, read_config
from finetune_spec.config.parse.schema import load_schema
from finetune_spec.job import KnownModel, check_job
from finetune_spec.memory import estimate_memory, parse_model
from finetune_spec.memory.ladder import ACCUMULATION, BATCH
from finetune_spec.memory.micro_batch import SHARE, find_divisors, settle
from spec.memory.test_memory import GIB, QWEN_7B
from support.config_verdicts import refusals

AUTO = {BATCH: "auto", ACCUMULATION: 16, "use_peft": True, "dtype": "bfloat16", "max_length": 2048}
MODEL = parse_model(QWEN_7B)
ONE_GPU = Context(nodes=1, processes_per_node=1, gpus_per_node=1)


def test_auto_is_valid_with_gradient_accumulation_steps() -> None:
    assert refusals(AUTO) == []


def test_auto_without_gradient_accumulation_steps_is_refused_with_what_to_write() -> None:
    [told] = refusals({BATCH: "auto"})

    assert told.startswith(
        'per_device_train_batch_size: found "auto" without gradient_accumulation_steps: '
        "set that to the number of rows per step and process, such as 16"
    )


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("atuo", 'found "atuo", expected a whole number or auto'),
        ("8", 'found "8", a string, expected a whole number or auto: remove the quotes'),
        (2.5, "found 2.5, expected a whole number or auto"),
        (True, "found true, expected a whole number or auto"),
        (None, "found null, expected a whole number or auto: leave the key out for the default, 8"),
        (0, "found 0, expected at least 1"),
    ],
)
def test_a_value_that_is_neither_a_number_nor_auto_is_refused(value: Any, told: str) -> None:
    assert refusals({**AUTO, BATCH: value}) == [f"{BATCH}: {told}"]


def test_a_trl_version_whose_trainers_lack_auto_requires_a_number() -> None:
    schema = load_schema("1.15.0")

    assert [str(it) for it in check_value(BATCH, BATCH, "auto", schema)] != []
    assert check_value(BATCH, BATCH, 4, schema) == ()


def test_the_effective_batch_size_is_accumulation_times_processes() -> None:
    config = read_config(AUTO)

    assert config.has_auto_batch
    assert config.effective_batch(world_size=4) == 64
    assert not read_config({**AUTO, BATCH: 1}).has_auto_batch


@pytest.mark.parametrize("rows", [1, 2, 4, 8, 16])
def test_auto_becomes_the_largest_batch_size_that_fits_with_a_margin(rows: int) -> None:
    config = read_config(AUTO)
    taken = config.adjusted({BATCH: rows, ACCUMULATION: 16 // rows})
    needed = estimate_memory(taken, MODEL, ONE_GPU).total / SHARE

    just_enough = settle(config, MODEL, ONE_GPU, int(needed) + 1)
    too_little = settle(config, MODEL, ONE_GPU, int(needed) - 1)

    assert (just_enough[BATCH], just_enough[ACCUMULATION]) == (rows, 16 // rows)
    assert too_little[BATCH] == max(1, rows // 2)


@pytest.mark.parametrize("gpu", [None, 2])
def test_auto_becomes_single_rows_if_nothing_fits_or_the_memory_is_unknown(gpu: int | None) -> None:
    """The advice for a job that does not fit is the same as for any config."""
    config = settle(read_config(AUTO), MODEL, ONE_GPU, gpu and gpu * GIB)

    assert (config[BATCH], config[ACCUMULATION]) == (1, 16)


@given(
    rows=st.integers(1, 4096),
    gpu=st.integers(10, 200),
    length=st.sampled_from([128, 2048, 16384]),
    older=st.booleans(),
)
def test_the_step_keeps_its_rows_and_no_larger_micro_batch_would_fit(
    rows: int, gpu: int, length: int, older: bool
) -> None:
    name = "per_gpu_train_batch_size" if older else BATCH
    written = {**AUTO, ACCUMULATION: rows, "max_length": length}
    written = {**{key: value for key, value in written.items() if key != BATCH}, name: "auto"}
    config = settle(read_config(written), MODEL, ONE_GPU, gpu * GIB)

    assert not config.has_auto_batch
    assert set(config.written) == set(written)
    assert config[BATCH] * config[ACCUMULATION] == rows
    larger = [it for it in find_divisors(rows) if it > config[BATCH]]
    for more in larger:
        there = config.adjusted({name: more, ACCUMULATION: rows // more})
        assert estimate_memory(there, MODEL, ONE_GPU).total > SHARE * gpu * GIB
    if config[BATCH] > 1:
        assert estimate_memory(config, MODEL, ONE_GPU).total <= SHARE * gpu * GIB


@pytest.mark.parametrize(
    ("deepspeed", "expected"),
    [
        pytest.param({"train_micro_batch_size_per_gpu": "auto"}, None, id="auto there, too"),
        pytest.param({"train_batch_size": 16}, None, id="the effective batch is known"),
        pytest.param(
            {"train_micro_batch_size_per_gpu": 4},
            'deepspeed.train_micro_batch_size_per_gpu: found 4, expected "auto", as '
            "per_device_train_batch_size",
            id="a number there",
        ),
        pytest.param(
            {"train_batch_size": 8},
            'deepspeed.train_batch_size: found 8, expected "auto", or 16 as '
            "per_device_train_batch_size x gradient_accumulation_steps x 1 processes",
            id="another effective batch",
        ),
    ],
)  # fmt: skip
def test_deepspeeds_own_config_must_leave_the_micro_batch_open(
    deepspeed: Mapping[str, Any], expected: str | None
) -> None:
    known = {"nodes": 1, "processes_per_node": 1, "gpus_per_node": 1}

    assert refusals({**AUTO, "deepspeed": deepspeed}, **known) == (
        [] if expected is None else [expected]
    )


def test_a_job_that_fits_with_smaller_micro_batches_gets_no_warning() -> None:
    spec = {
        "config": {"model_name_or_path": "org/m", "dataset_name": "org/d", **AUTO},
        "resources": {"gpusPerNode": 1},
        "output": {"uri": "s3://models/x"},
    }
    model = KnownModel(config=QWEN_7B)

    told = [str(it) for it in check_job(spec, model=model, gpu_bytes=24 * GIB).problems]
    small = [str(it) for it in check_job(spec, model=model, gpu_bytes=12 * GIB).problems]

    assert not [it for it in told if "needs an estimated" in it]
    assert [it for it in small if "spec.config: needs an estimated" in it]
    # Users of `auto` get no advice to write a number.
    assert not [it for it in (*told, *small) if BATCH in it]


def test_auto_is_resolved_when_the_config_is_parsed() -> None:
    config, problems = parse_config({"model_name_or_path": "m/m", "dataset_name": "d/d", **AUTO})

    assert not [it for it in problems if not it.is_warning]
    assert config[BATCH] == 1
    assert config.resolved[BATCH] == "auto"
