# SPDX-License-Identifier: Apache-2.0
"""Information from kubectl and the API server about the config, without our own check."""

import pytest

from cluster.jobs import Jobs, a_job

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(
    ("key", "words"),
    [
        pytest.param("learning_rate", ["<number>", "initial learning rate", "2e-05"], id="number"),
        pytest.param("eval_strategy", ["<string>", "ENUM:", "epoch", "in quotes"], id="choice"),
        pytest.param("use_peft", ["<boolean>", "Default: false."], id="boolean"),
        pytest.param("report_to", ["a string or a list", "Default: none."], id="union"),
        pytest.param("datasets.fraction", ["<number>", "Target share"], id="inside a list"),
        pytest.param("torch_dtype", ["Older spelling of dtype."], id="older spelling"),
        pytest.param("output_dir", ["set spec.output.uri instead"], id="the operator's own"),
    ],
)
def test_kubectl_explain_shows_a_keys_type_help_and_default(
    jobs: Jobs, key: str, words: list[str]
) -> None:
    explained = " ".join(jobs.run("explain", f"ftj.spec.config.{key}").split())

    assert [word for word in words if word not in explained] == []


def test_kubectl_explain_lists_every_key_with_its_type(jobs: Jobs) -> None:
    listed = jobs.run("explain", "ftj.spec.config", "--recursive")

    assert "  learning_rate\t<number>" in listed
    assert "  lora_modules_to_save\t<[]string>" in listed


@pytest.mark.parametrize(
    ("config", "words"),
    [
        pytest.param({"learning_rate": "1e-4"}, "must be of type number", id="a number in quotes"),
        pytest.param({"max_length": 2.5}, "must be of type integer", id="half a token"),
        pytest.param({"bf16": "yes"}, "must be of type boolean", id="a text for true"),
        pytest.param({"eval_strategy": "epochs"}, '"no", "steps", "epoch"', id="no choice"),
        pytest.param({"eval_strategy": False}, "must be of type string", id="a bare no"),
        pytest.param({"max_seq_length": "x"}, "must be of type integer", id="an older spelling"),
        pytest.param({"env": ["A=1"]}, "must be of type object", id="a list for a mapping"),
    ],
)
def test_the_api_server_refuses_a_wrong_type_with_its_path(
    jobs: Jobs, config: dict[str, object], words: str
) -> None:
    (key,) = config

    with pytest.raises(RuntimeError) as refusal:
        jobs.apply(a_job("of-wrong-type", **config))

    assert f"spec.config.{key}" in str(refusal.value)
    assert words in str(refusal.value)


def test_the_api_server_names_every_wrong_type_at_once(jobs: Jobs) -> None:
    with pytest.raises(RuntimeError) as refusal:
        jobs.apply(a_job("of-wrong-types", learning_rate="high", max_length="long"))

    assert "spec.config.learning_rate" in str(refusal.value)
    assert "spec.config.max_length" in str(refusal.value)
