# SPDX-License-Identifier: Apache-2.0
"""Texts with a format: hub names, splits, LoRA targets, mappings in a text."""

from typing import Any

import pytest

from spec.config.single_values import refusals, warnings


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("accelerator_config", "/profiles/accelerate.json"),
        ("dataset_name", "./data/my set"),
        ("dataset_name", "/data/sets/train"),
        ("dataset_name", "hf://datasets/org/name"),
        ("dataset_name", "hf://datasets/org/name/data/train.parquet"),
        ("dataset_name", "http://files.example/train.csv.gz"),
        ("dataset_name", "https://me:secret@files.example/a/train.jsonl?signature=secret"),
        ("dataset_name", "json"),
        ("dataset_name", "org/name"),
        ("dataset_name", "s3://bucket/a b/c@d"),
        ("dataset_train_split", "train"),
        ("dataset_train_split", "train_sft"),
        ("eos_token", "<|im_end|>"),
        ("gradient_checkpointing_kwargs", '{"use_reentrant": false}'),
        ("hub_model_id", "name"),
        ("hub_model_id", "org/na-me_1.0"),
        ("include_num_input_tokens_seen", "no"),
        ("lora_target_modules", ".*[qv]_proj"),
        ("lora_target_modules", "all-linear"),
        ("lora_target_modules", ["all-linear"]),
        ("lora_target_modules", ["lm_head"]),
        ("lora_target_modules", ["q_proj", "v_proj"]),
        ("lora_target_modules", [r"model\.layers\.\d{1,2}\.mlp\.up_proj"]),
        ("model_name_or_path", "~/models/llama"),
        ("optim_args", ""),
        ("optim_args", "rank=64, scale=0.25"),
        ("pad_to_multiple_of", "auto"),
    ],
)
def test_a_well_formed_text_is_accepted_without_a_warning(key: str, value: Any) -> None:
    assert (refusals(key, value), warnings(key, value)) == ([], [])


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        pytest.param(
            "dataset_name",
            "https://hub.example/datasets/org/name",
            'found "https://hub.example/datasets/org/name", expected a hub name, a path or an '
            "s3:// URI, did you mean org/name?",
            id="address of a web page",
        ),
        pytest.param(
            "dataset_name",
            "https://files.example/download?file=secret",
            "found a web address that is not a data file, expected one that ends in .jsonl, "
            ".ndjson, .json, .csv, .tsv, .parquet, .txt, .arrow",
            id="address of no data file",
        ),
        pytest.param(
            "model_name_or_path",
            "https://hub.example/org/name",
            'found "https://hub.example/org/name", expected a hub name, a path or an s3:// URI, '
            "did you mean org/name?",
            id="address of a model's page",
        ),
        pytest.param(
            "prompt_template",
            "Translate this",
            'found "Translate this", expected columns of the data in braces, such as {question}',
            id="a template that names no column",
        ),
        pytest.param(
            "prompt_template",
            '{"text": "{text}"}',
            'found {"text"...}, expected only the name of a column there: write {{ and }} for '
            "literal braces",
            id="JSON in a template",
        ),
        pytest.param(
            "prompt_template",
            "Say {} now",
            "found empty braces, expected the name of a column in them, such as {question}: "
            "write {{ and }} for literal braces",
            id="empty braces",
        ),
        pytest.param(
            "prompt_template",
            "Say {text",
            "found a template whose braces do not match: write {{ and }} for literal braces",
            id="an open brace",
        ),
        pytest.param(
            "dataset_columns",
            "prompt=question",
            'found "prompt=question", a string, expected a mapping: write {prompt: question}',
            id="columns in a text",
        ),
        pytest.param(
            "model_name_or_path",
            "s4://models/llama",
            'found "s4://models/llama", whose scheme is not supported, expected one of s3, gs, '
            "az, hf, file",
            id="unknown scheme",
        ),
        pytest.param(
            "model_name_or_path",
            "org/name@v1.0",
            'found "org/name@v1.0", expected org/name: a revision is not part of a name',
            id="revision in a name",
        ),
        pytest.param(
            "model_name_or_path",
            "None",
            'found "None", expected a hub name, a path or an s3:// URI, without surrounding '
            "whitespace",
            id="null word for a model",
        ),
        pytest.param(
            "hub_model_id",
            "org/team/name",
            'found "org/team/name", expected a hub name, such as org/name: letters, digits, -, _ '
            "and . with at most one /",
            id="two slashes",
        ),
        pytest.param(
            "dataset_train_split",
            "train[:10%]",
            'found "train[:10%]", expected the name of a split: slices are only supported in the '
            "split of an entry of datasets",
            id="part of a split",
        ),
        pytest.param(
            "dataset_test_split",
            "test set",
            'found "test set", expected the name of a split',
            id="split with a blank",
        ),
        pytest.param(
            "lora_target_modules",
            "['q_proj', 'v_proj']",
            "found \"['q_proj', 'v_proj']\", a string, expected a list: write "
            '["q_proj", "v_proj"]',
            id="a list in quotes",
        ),
        pytest.param(
            "lora_target_modules",
            "q_proj,v_proj",
            'found "q_proj,v_proj", expected a list: write ["q_proj", "v_proj"]',
            id="targets with commas",
        ),
        pytest.param(
            "lora_target_modules",
            ["q_proj"],
            'found "q_proj" alone, which PEFT matches against the full path of a module: write '
            '".*q_proj", or list two or more names',
            id="one target in a list",
        ),
        pytest.param(
            "lora_target_modules",
            "all_linear",
            'found "all_linear", did you mean "all-linear"?',
            id="all linear layers",
        ),
        pytest.param(
            "lora_target_modules",
            "*_proj",
            'found "*_proj", expected a list of names or a regular expression: write ".*_proj"',
            id="targets as in a shell",
        ),
        pytest.param(
            "lora_target_modules",
            "None",
            'found "None", a string: write null, YAML\'s word for none',
            id="null word for targets",
        ),
        pytest.param(
            "optim_args",
            "{'rank': 64}",
            "found \"{'rank': 64}\", expected pairs with commas between, such as "
            "rank=64,scale=0.25",
            id="mapping for pairs",
        ),
        pytest.param(
            "gradient_checkpointing_kwargs",
            "use_reentrant=False",
            'found "use_reentrant=False", a string, expected a mapping: write '
            "{use_reentrant: false}",
            id="pair for a mapping",
        ),
        pytest.param(
            "gradient_checkpointing_kwargs",
            "{'use_reentrant': False}",
            "found \"{'use_reentrant': False}\", a string that is not JSON, expected a mapping: "
            "remove the quotes",
            id="Python for a mapping",
        ),
        pytest.param(
            "model_init_kwargs",
            "None",
            'found "None", a string, expected a mapping: write null, YAML\'s word for none',
            id="null word for a mapping",
        ),
        pytest.param(
            "deepspeed",
            "none",
            'found "none", a string: write null, YAML\'s word for none',
            id="null word for a path",
        ),
        pytest.param(
            "pad_to_multiple_of",
            "8x",
            'found "8x", expected a whole number, "auto" or null',
            id="no number",
        ),
        pytest.param(
            "include_num_input_tokens_seen",
            "non_padding",
            'found "non_padding", expected true or false, the only values that TRL\'s parser '
            "accepts here",
            id="in the help and refused by the parser",
        ),
    ],
)
def test_a_malformed_text_is_refused_in_one_sentence(key: str, value: Any, sentence: str) -> None:
    assert refusals(key, value) == [f"{key}: {sentence}"]


@pytest.mark.parametrize(
    ("key", "text", "sentence"),
    [
        pytest.param(
            "dataset_name",
            "data/sets/train",
            '"data/sets/train" can only be a directory on the '
            "trainer's file system, because hub names have the form org/name: write "
            "./data/sets/train if it is",
            id="folder without a dot",
        ),
        pytest.param(
            "run_name",
            "None",
            'the string "None" is not null: leave the key out for that',
            id="run called None",
        ),
    ],
)
def test_a_suspicious_text_gets_a_warning(key: str, text: str, sentence: str) -> None:
    assert warnings(key, text) == [f"{key}: {sentence}"]
    assert refusals(key, text) == []


@pytest.mark.parametrize(
    "split",
    [
        "train",
        "train_sft",
        "train[:10%]",
        "train[10:]",
        "train[-5%:]",
        "train[:1_000]",
        "train+test",
        "train[:50%] + test[50%:100%]",
        "train[10%:20%](pct1_dropremainder)",
    ],
)
def test_a_split_that_datasets_reads_is_accepted(split: str) -> None:
    assert refusals("datasets", [{"path": "org/name", "split": split}]) == []


@pytest.mark.parametrize(
    "split", ["train[:50", "train[:200%]", "train[a:b]", "train[0.5:]", "train,test", "", "train["]
)
def test_an_invalid_split_is_refused(split: str) -> None:
    (sentence,) = refusals("datasets", [{"path": "org/name", "split": split}])

    assert sentence == (
        f'datasets[0].split: found "{split}", expected a split, such as train, train[:10%] or '
        "train+test"
    )
