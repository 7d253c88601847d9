# SPDX-License-Identifier: Apache-2.0
"""For any content of a config, a spec or a model's config.json: each check takes little time, none
fails, and every refusal names the place.
"""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from finetune_spec.config import Problem, parse_config
from finetune_spec.config.bounds import MAX_BYTES, find_beyond
from finetune_spec.config.parse.schema import load_schema
from finetune_spec.config.parse.spellings import OLDER
from finetune_spec.cron.expression import parse_cron
from finetune_spec.job import KnownModel, check_job, estimate_job
from finetune_spec.memory import UnreadableModel, parse_model
from finetune_spec.quantities import parse_quantity
from finetune_spec.schedule import check_schedule
from support.factories import CONFIG
from support.hostile import BEYOND, VALUES, nested, quickly, some

KEYS = tuple(dict.fromkeys((*load_schema().properties, *OLDER, "no_such_key", "env", "datasets")))

MODEL: Mapping[str, Any] = {
    "model_type": "qwen2",
    "hidden_size": 3584,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "intermediate_size": 18944,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
    "head_dim": 128,
    "num_experts": 0,
    "num_experts_per_tok": 1,
    "quantization_config": {"bits": 4},
    "text_config": None,
    "dtype": "bfloat16",
    "hidden_act": "silu",
}


def spec_with(config: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    output = {"uri": "s3://models/balloon"}
    return {"config": dict(config), "output": output, "resources": {"gpusPerNode": 2}, **others}


def told_of(config: Mapping[str, Any], model: Mapping[str, Any] | None = MODEL) -> str:
    """The messages about a config, after all of the operator's checks ran within their limits."""
    spec = spec_with(config)
    known = None if model is None else KnownModel(config=model)
    checked = quickly(lambda: check_job(spec, model=known, gpu_bytes=8 * 2**30))
    if all(problem.is_warning for problem in checked.problems):
        quickly(lambda: estimate_job(checked))
    problems: list[Problem] = list(checked.problems)
    for problem in problems:
        str(problem).encode()
        assert len(str(problem)) < 5_000
        assert problem.path.startswith("spec")
    return "\n".join(map(str, problems))


def refuses(key: str, config: Mapping[str, Any], name: str) -> None:
    told = told_of(config)
    if name in BEYOND:
        assert f"spec.config.{key}" in told or told.startswith("spec: holds"), told


@pytest.mark.parametrize("key", KEYS)
def test_no_value_of_a_key_is_slow_or_fails(key: str) -> None:
    for name in some(is_long=False, place=KEYS.index(key)):
        refuses(key, {**CONFIG, key: VALUES[name]}, name)


@pytest.mark.long
@pytest.mark.parametrize("name", VALUES)
def test_no_key_is_slow_or_fails_with_any_content(name: str) -> None:
    value = VALUES[name]
    for key in KEYS:
        for held in (value, [value], {"a": value}, [{"path": value}]):
            refuses(key, {**CONFIG, key: held}, name)


MAPPINGS = ("model_init_kwargs", "lr_scheduler_kwargs", "dataset_kwargs", "dataset_columns")
OBJECTS = (*MAPPINGS, "gradient_checkpointing_kwargs", "accelerate_config", "fsdp_config")


@pytest.mark.parametrize("key", OBJECTS)
def test_thousands_of_unknown_options_in_an_object_take_little_time(key: str) -> None:
    refuses(key, {**CONFIG, key: VALUES["5,000 keys"]}, "5,000 keys")


TEXTS = (*MAPPINGS, "lora_target_modules", "metric_fn", "fsdp", "debug", "attn_implementation")
TEXTS += ("prompt_template", "optim_args", "dataset_train_split", "chat_template_path")


@pytest.mark.parametrize("name", [name for name in VALUES if "text" in name or "kB" in name])
def test_keys_that_may_be_texts_are_parsed_in_linear_time(name: str) -> None:
    for key in TEXTS:
        refuses(key, {**CONFIG, key: VALUES[name]}, name)


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+b", "(.*a){200}", ".*.*.*.*.*.*.*.*x", "(?=(a+)+)b", "((a|b|ab)*)*c", "(" * 99],
)
@pytest.mark.parametrize("key", ["lora_target_modules", "lora_modules_to_save"])
def test_a_users_pattern_does_not_block_the_operator(key: str, pattern: str) -> None:
    deepest = {**MODEL, "num_hidden_layers": 2000}

    told_of({**CONFIG, "use_peft": True, key: pattern}, deepest)


@pytest.mark.parametrize("rows", [1_000_000_000_039, 10**18, 2**62, 2 * 3 * 5 * 7 * 11 * 10**9])
def test_a_batch_size_of_any_magnitude_is_halved_quickly(rows: int) -> None:
    told_of({**CONFIG, "per_device_train_batch_size": rows})


@pytest.mark.parametrize("key", MODEL)
def test_a_models_config_may_contain_anything(key: str) -> None:
    for name, value in VALUES.items():
        model = {**MODEL, key: value}
        told_of({**CONFIG, "use_peft": True, "lora_target_modules": r".*\.(q|v)_proj"}, model)
        try:
            quickly(lambda model=model: parse_model(model))
        except UnreadableModel as unreadable:
            told = str(unreadable)
        else:
            told = ""
        assert len(told) < 500, name


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_hidden_layers", 10**9), ("head_dim", float("inf")), ("vocab_size", 10**400)],
)
def test_a_model_of_impossible_size_is_refused_with_the_key(key: str, value: Any) -> None:
    with pytest.raises(UnreadableModel, match=key):
        parse_model({**MODEL, key: value})


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("place", ["annotations", "schedule", "timeZone", "runToken"])
def test_a_schedule_may_contain_anything(place: str, name: str) -> None:
    value = VALUES[name]
    text = value if isinstance(value, str) else "0 2 * * *"
    spec = {"schedule": text, "timeZone": "UTC", "jobTemplate": {"spec": spec_with(CONFIG)}}
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": text}
    if place == "runToken":
        spec["jobTemplate"] = {"spec": spec_with(CONFIG, runToken=text)}
    if place == "timeZone":
        spec["timeZone"] = text

    problems = quickly(lambda: check_schedule(spec, annotations=annotations))

    assert all(problem.path.startswith("spec") for problem in problems)


@pytest.mark.parametrize("text", [value for value in VALUES.values() if isinstance(value, str)])
def test_times_and_quantities_are_parsed_quickly_or_refused(text: str) -> None:
    for read in (parse_cron, parse_quantity, lambda it: parse_cron(f"@every {it}")):
        with pytest.raises(ValueError, match=r"found|expected"):
            quickly(lambda read=read: read(text))


def test_a_config_within_the_limits_is_accepted() -> None:
    usual = {"env": {"CERTIFICATE": "x" * 30_000}, "datasets": [{"path": "a"}] * 900}

    assert find_beyond({**usual, "deep": nested(31)}, "config") is None


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"a": {"b": nested(40)}}, "deep is nested more than 32 deep"),
        ({"a": ["x" * 40_000]}, r"a\[0\]: has 40000 characters, expected at most 32768"),
        ({"a": '"x' * 20_000}, "a: has 40000 characters"),
        ({"a": "1" * 40_000}, "a: has 40000 characters"),
        ({"a": {"k" * 40_000: 1}}, r"k{40}\.\.\.: its name has 40000 characters"),
        ({"a": [0] * 30_000}, "contains more than 20000 values"),
        ({"a": [{"k": 0}] * 10_000}, "contains more than 20000 values"),
        ({"a": ["x" * 30_000] * 60}, f"is larger than {MAX_BYTES // 1024}Ki"),
        ({"a": {"\ud800": 1}}, r"a\.\?: its name contains half of a surrogate pair"),
        ({"a": [1, {"b": float("inf")}]}, r"a\[1\]\.b: found Infinity, expected a finite number"),
        ({"a": -(10**5000)}, "a: found a number of more than 64 bits"),
    ],
)
def test_a_config_beyond_the_limits_is_reported_once_with_its_path(
    config: dict[str, Any], expected: str
) -> None:
    _, problems = parse_config({**CONFIG, **config})

    assert len(problems) == 1
    if "deep" in expected:
        assert str(problems[0]).startswith("a.b[0][0]")
        assert str(problems[0]).endswith("is nested more than 32 deep")
    else:
        assert re.search(expected, str(problems[0]))
