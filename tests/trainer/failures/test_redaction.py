# SPDX-License-Identifier: Apache-2.0
"""No secret is shown: not in a failure, and not in the output of a process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finetune_contract.outcome import Category, Failure
from finetune_trainer.failures.redaction import Redaction
from finetune_trainer.publication.report.story import config_text
from trainer.runs import a_run

ENVIRONMENT = {
    "HF_TOKEN": "a-token-of-the-hub",
    "AWS_SECRET_ACCESS_KEY": "wJalr/XUtnFEMI+K7MDENG",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AZURE_STORAGE_CONNECTION_STRING": "AccountKey=abcdefgh",
    "DB_PASSWORD": "hunter2hunter2",
    "SHORT_TOKEN": "on",
    "KUBEFLOW_TRAINER_SERVER_TOKEN": "/var/run/secrets/finetune.dev/token",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/aws/token",
    "TOKENIZERS_PARALLELISM": "falsefalse",
    "HOME": "/home/someone",
}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("refused a-token-of-the-hub here", "refused *** here"),
        ("signed with wJalr/XUtnFEMI+K7MDENG", "signed with ***"),
        ("login hunter2hunter2", "login ***"),
        ("no such key AKIAIOSFODNN7EXAMPLE", "no such key AKIAIOSFODNN7EXAMPLE"),
        ("carry on", "carry on"),
        ("/var/run/secrets/aws/token is gone", "/var/run/secrets/aws/token is gone"),
        ("see /home/someone", "see /home/someone"),
        ("from hf_AbCdEfGhIjKlMnOpQrStUv", "from ***"),
        ("Authorization: Bearer abc.def.ghi", "Authorization: Bearer ***"),
        ("at https://me:sesame@hub.example/x", "at https://***@hub.example/x"),
        ("s3://bucket/path@v2 is missing", "s3://bucket/path@v2 is missing"),
        (
            "GET https://b.example/k?X-Amz-Credential=AK%2F1&X-Amz-Signature=abc&x=1 failed",
            "GET https://b.example/k?*** failed",
        ),
        ("see https://a.example/d?sv=2024&sig=abc%3D (403)", "see https://a.example/d?*** (403)"),
        ("https://a.example/data?split=train", "https://a.example/data?split=train"),
    ],
)  # fmt: skip
def test_secrets_are_hidden_and_nothing_else(text: str, told: str) -> None:
    assert Redaction.of(ENVIRONMENT).text(text) == told


def test_secrets_in_a_config_are_hidden_too() -> None:
    config = {"hub_token": "given-in-yaml", "env": {"WANDB_API_KEY": "given-in-env"}, "seed": 1}

    told = Redaction.of({}, config).text("given-in-yaml and given-in-env and eos_token")

    assert told == "*** and *** and eos_token"


@pytest.mark.parametrize(
    "config",
    [
        {"model_init_kwargs": {"token": "nested-value"}},
        {"model_init_kwargs": '{"token": "nested-value"}'},
        {"datasets": [{"storage_options": {"secret": "nested-value"}}]},
        {"a": {"b": [[{"api_key": "nested-value"}]]}},
    ],
    ids=["a mapping", "JSON as text", "a list", "lists of lists"],
)
def test_secrets_at_any_depth_of_a_config_are_hidden(config: dict[str, Any]) -> None:
    assert Redaction.of({}, config).text("got nested-value here") == "got *** here"
    assert "nested-value" not in Redaction.of({}, config).text(config_text(config))


def test_a_report_hides_nested_secrets_that_yaml_would_fold_or_escape() -> None:
    long = "with spaces and 'quotes' " * 8 + "\x07"

    told = config_text({"model_init_kwargs": {"token": long, "eos_token": "</s>"}, "seed": 1})

    assert "quotes" not in told
    assert "token: '***'" in told
    assert "</s>" in told


@pytest.mark.parametrize(
    ("config", "text", "told"),
    [
        pytest.param(
            {"dataset_name": "https://a.example/d.jsonl?k=0123456789abcdef%3D&format=parquet"},
            "d.jsonl?k=0123456789abcdef%3D&format=parquet, a parquet file: 0123456789abcdef=",
            "d.jsonl?k=***&format=parquet, a parquet file: ***",
            id="in a query with any name and in both spellings",
        ),
        pytest.param(
            {
                "datasets": [
                    {"path": "json", "data_files": {"train": ["https://a/b?0=" + "k" * 16]}}
                ]
            },
            "k" * 16,
            "***",
            id="among the data files of a mixture",
        ),
        pytest.param(
            {"dataset_name": "https://me:a-long-password-of-mine@a.example/d.jsonl"},
            "a-long-password-of-mine",
            "***",
            id="a password",
        ),
        pytest.param(
            {"seed": 1, "dataset_name": "org/name?x"}, "org/name?x", "org/name?x", id="none"
        ),
    ],
)
def test_secrets_in_an_address_of_the_config_are_hidden(
    config: dict[str, Any], text: str, told: str
) -> None:
    assert Redaction.of({}, config).text(text) == told


def test_a_failure_has_no_secrets_in_message_and_remedy() -> None:
    failure = Failure(
        category=Category.USER,
        reason="X",
        message="a-token-of-the-hub",
        remedy="a-token-of-the-hub",
    )

    told = Redaction.of(ENVIRONMENT).failure(failure)

    assert (told.message, told.remedy, told.reason) == ("***", "***", "X")


PROGRAM = """\
import logging, os, sys, warnings
from finetune_trainer.failures.redaction import hide_in_output
hide_in_output(os.environ)
logging.basicConfig(level=logging.INFO)
logging.info("log %s", os.environ["HF_TOKEN"])
print("print", os.environ["HF_TOKEN"])
warnings.warn(os.environ["HF_TOKEN"])
sys.stderr.writelines([os.environ["HF_TOKEN"]])
hide_in_output(os.environ, {"hub_token": "a-later-secret"})
print("a-later-secret")
raise ValueError(os.environ["HF_TOKEN"])
"""


def test_nothing_that_a_process_prints_contains_a_secret() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"HF_TOKEN": "a-token-of-the-hub"},
        capture_output=True,
        text=True,
    )

    told = done.stdout + done.stderr
    assert "ValueError: ***" in told
    assert "log ***" in told
    assert "a-token-of-the-hub" not in told
    assert "a-later-secret" not in told


def test_a_supervisors_log_and_outcome_contain_no_secret(tmp_path: Path) -> None:
    secret = "sesame-open-sesame"
    run = a_run(
        output=(tmp_path / "out").as_uri(),
        model_name_or_path=f"/models/{secret}",
        env={"MODEL_PASSWORD": secret},
    )
    (tmp_path / "run.json").write_text(run.to_json())

    done = subprocess.run(
        [
            *(sys.executable, "-m", "finetune_trainer.attempt.supervisor", "--run", "run.json"),
            *("--work", "work", "--termination-log", "outcome.json"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    told = (tmp_path / "outcome.json").read_text()
    assert json.loads(told)["failure"]["reason"] == "ModelNotFound"
    assert secret not in told + done.stdout + done.stderr
    assert "/models/***" in done.stderr
