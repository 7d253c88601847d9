# SPDX-License-Identifier: Apache-2.0
"""Packing is refused before a GPU is requested if the model would mix the rows of a pack. The
models were measured; these tests check the messages.
"""

import tomllib
from collections.abc import Mapping
from typing import Any

import pytest

from finetune_spec.base_model import check_base_model
from finetune_spec.base_model.packed_rows import (
    PACKAGES_FOR_PACKS,
    TABLE,
    PackedRows,
    package_for,
    rows_of,
)
from finetune_spec.config import Context, read_config
from finetune_spec.job import KnownModel, check_job
from finetune_spec.packages import PACKAGES

PACKED = {"packing": True}
PADDING_FREE = {"padding_free": True, "max_length": None}
FLAT = (PACKED, {**PACKED, "packing_strategy": "bfd_split"}, PADDING_FREE)


def a_model(model_type: str, **more: Any) -> dict[str, Any]:
    return {"model_type": model_type, "architectures": ["AnythingForCausalLM"], **more}


def told(config: Mapping[str, Any], model: Mapping[str, Any], **around: Any) -> list[str]:
    context = Context(model=model, **around)
    read = read_config({"model_name_or_path": "acme/base", **config}, context.schema)
    return [
        f"{'warning: ' * problem.is_warning}{problem}"
        for problem in check_base_model(read, context)
    ]


@pytest.mark.parametrize("model_type", ["mamba", "jamba", "minimax", "rwkv"])
def test_packing_is_refused_where_rows_attend_to_each_other_and_alternatives_are_named(
    model_type: str,
) -> None:
    (packed,) = told(PACKED, a_model(model_type))
    (padding_free,) = told(PADDING_FREE, a_model(model_type))

    assert packed == (
        f'packing: found true, but models of type "{model_type}" do not keep the rows of a pack '
        "apart: each row would be trained as if it continued the row before it; leave packing "
        "out, so that rows are padded, or set packing_strategy: wrapped if rows may continue "
        "each other"
    )
    assert padding_free == (
        f'padding_free: found true, but models of type "{model_type}" do not keep the rows of a '
        "pack apart: each row would be trained as if it continued the row before it; leave "
        "padding_free out, so that rows are padded"
    )


@pytest.mark.parametrize("model_type", ["jamba", "bamba"])
@pytest.mark.parametrize(
    "remedied",
    [{}, {"packing": False}, {**PACKED, "packing_strategy": "wrapped"}, {"padding_free": False}],
    ids=str,
)
def test_the_suggested_alternative_is_valid(model_type: str, remedied: Mapping[str, Any]) -> None:
    assert told(remedied, a_model(model_type)) == []


@pytest.mark.parametrize("config", FLAT, ids=str)
@pytest.mark.parametrize(
    "model_type", ["llama", "qwen3_moe", "gemma3", "gpt_oss", "falcon", "opt", "bloom"]
)
def test_models_that_isolate_rows_are_packed_without_a_warning(
    model_type: str, config: Mapping[str, Any]
) -> None:
    assert told(config, a_model(model_type)) == []


def test_a_model_that_needs_kernels_for_packing_is_refused_only_in_the_stock_image() -> None:
    (refused,) = told(PACKED, a_model("bamba"))
    (warned,) = told(PACKED, a_model("bamba"), has_own_image=True)

    assert refused == (
        'packing: found true, and models of type "bamba" keep the rows of a pack apart only with '
        "the package causal-conv1d, which the trainer image lacks: leave packing out, so that rows "
        "are padded, or set spec.image to an image that has it"
    )
    assert warned.startswith("warning: packing: found true, and models of type")
    assert warned.endswith("only with the package causal-conv1d, which spec.image must have")
    assert told(PACKED, a_model("bamba"), packages=["causal-conv1d"]) == []


def test_an_unmeasured_model_gets_a_warning_that_the_trainer_tests_it() -> None:
    for config in (PACKED, PADDING_FREE):
        (found,) = told(config, a_model("tomorrow"))
        assert found.startswith(
            f'warning: {next(iter(config))}: it is unknown whether models of type "tomorrow"'
        )
        assert "the trainer checks this before the first step" in found
    assert told({}, a_model("tomorrow")) == []
    assert told(PACKED, {"hidden_size": 64}) == []


def test_a_model_with_its_own_code_is_not_judged_by_its_type() -> None:
    model = a_model("mamba", auto_map={"AutoModelForCausalLM": "modeling.Mamba"})

    assert told({**PACKED, "trust_remote_code": True}, model) == []
    assert len(told(PACKED, model)) == 1


def test_a_job_is_refused_by_its_models_config_json_with_the_path_of_the_key() -> None:
    config = {"model_name_or_path": "a/b", "dataset_name": "c", "packing": True, "max_length": 64}
    spec = {"config": config, "output": {"uri": "s3://b/p"}}

    def refusals(model_type: str) -> list[str]:
        found = check_job(spec, model=KnownModel(config=a_model(model_type))).problems
        return [str(problem) for problem in found if not problem.is_warning]

    assert refusals("llama") == []
    (refused,) = refusals("mamba")
    assert refused.startswith('spec.config.packing: found true, but models of type "mamba"')


def test_the_table_has_every_type_once_and_only_known_packages() -> None:
    table = tomllib.loads(TABLE.read_text())
    types = [each for rows in PackedRows for each in table[rows]]

    assert len(types) == len({*types}) > 200
    assert {*table["packages"]} <= {*PACKAGES_FOR_PACKS} <= {*PACKAGES}
    for package, named in table["packages"].items():
        assert {rows_of(each) for each in named} == {PackedRows.REFUSED}
        assert {package_for(each) for each in named} == {package}
