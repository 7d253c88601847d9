# SPDX-License-Identifier: Apache-2.0
"""`finetune plan`: what a job would do and need, without torch, a GPU or a cluster."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_cli.local.command_line import main

MODEL: Mapping[str, Any] = {
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "vocab_size": 128256,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}
"""The numbers of Llama 3.2 1B."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(MODEL))
    (tmp_path / "train.jsonl").write_text('{"text": "words"}\n' * 100)
    return tmp_path


def plan(folder: Path, *options: str, gpus: int = 2, **config: Any) -> int:
    job = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "balloon"},
        "spec": {
            "config": {
                "model_name_or_path": str(folder / "model"),
                "dataset_name": str(folder / "train.jsonl"),
                "learning_rate": 2e-4,
                "use_peft": True,
                "num_train_epochs": 2,
                "per_device_train_batch_size": 4,
                "gradient_accumulation_steps": 2,
                **config,
            },
            "resources": {"nodes": 1, "gpusPerNode": gpus},
            "output": {"uri": "s3://models/balloon"},
        },
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    return main(["plan", "job.yaml", *options])


def planned(folder: Path, capsys: pytest.CaptureFixture[str], **config: Any) -> dict[str, Any]:
    assert plan(folder, "--output", "json", **config) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_plan_shows_what_would_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(folder) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "balloon: 1 node x 2 processes"
    told = {line[2:16].strip(): line[16:] for line in lines[1:] if line[2:16].strip()}
    assert told["model"].endswith("model (llama, 1.24 billion parameters)")
    assert told["trains"] == (
        "LoRA of rank 16 on the default modules of PEFT: 1.7 million parameters (0.14% of the "
        "model's)"
    )
    assert told["precision"] == "weights in float32, computed in bfloat16"
    assert told["attention"] == "sdpa: rows are padded; packing: true would make them flat"
    assert told["strategy"] == "DDP over 2 processes"
    assert told["batch"] == "4 rows x 2 accumulated x 2 processes = 16 rows a step"
    assert told["rows"] == "cut at 1024 tokens (max_length)"
    assert told["steps"] == "14"
    assert told["memory"].endswith("estimated for each process")


@pytest.mark.parametrize("named", [None, "sdpa", "flash_attention_2"])
def test_a_plan_shows_the_chosen_attention(
    folder: Path, capsys: pytest.CaptureFixture[str], named: str | None
) -> None:
    assert plan(folder, packing=True, attn_implementation=named) == 0

    taken = "rows are flat, so torch's FlashAttention-2 kernels are used"
    assert f"  attention     torch_varlen: {taken}\n" in capsys.readouterr().out
    assert planned(folder, capsys, attn_implementation=named)["attention"] == "sdpa"
    assert planned(folder, capsys, packing=True, attn_implementation="eager")["attention"] == (
        "eager"
    )


def test_a_plan_reports_attention_that_the_trainer_image_lacks(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(folder, attn_implementation="flash_attention_3") == 0

    told = capsys.readouterr()
    assert "is a package that the trainer image lacks" in told.err
    assert "attention     flash_attention_3: as set by attn_implementation" in told.out


@pytest.mark.parametrize(
    ("config", "steps"),
    [
        pytest.param({}, 14, id="rows on this disk are counted"),
        pytest.param({"max_steps": 30}, 30, id="max_steps wins"),
        pytest.param({"num_train_epochs": 0.5}, 4, id="half an epoch"),
        pytest.param({"packing": True}, None, id="packing is known when the data is read"),
        pytest.param({"dataset_name": "s3://data/x"}, None, id="data elsewhere is not read"),
    ],
)
def test_steps_are_counted_where_counting_is_cheap(
    folder: Path, capsys: pytest.CaptureFixture[str], config: Mapping[str, Any], steps: int | None
) -> None:
    assert planned(folder, capsys, **config)["steps"] == steps


def test_training_only_the_last_layers_needs_less_memory(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = planned(folder, capsys, use_peft=False)
    last = planned(folder, capsys, use_peft=False, num_layers_unfrozen=2)

    assert last["method"] == "the last 2 layers with norm and head"
    assert last["trainableParameters"] < whole["trainableParameters"] == whole["parameters"]
    for part in ("gradients", "optimizer"):
        assert last["memory"]["parts"][part] < whole["memory"]["parts"][part] / 3
    assert last["memory"]["parts"]["weights"] == whole["memory"]["parts"]["weights"]


def test_json_output_lists_every_part_of_the_memory_estimate(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory = planned(folder, capsys)["memory"]

    parts = ["weights", "gradients", "optimizer", "activations", "working", "overhead"]
    assert list(memory["parts"]) == parts
    assert memory["totalBytes"] == sum(memory["parts"].values())


def test_a_plan_for_a_job_that_fits_shows_the_remaining_memory(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(folder, "--gpu-memory", "80Gi") == 0

    assert "  fits          in 80Gi, " in capsys.readouterr().out


def test_a_plan_for_a_job_that_does_not_fit_shows_what_to_set(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(folder, "--gpu-memory", "6Gi") == 0

    [line] = [line for line in capsys.readouterr().out.splitlines() if "does not fit" in line]
    assert "more than 6Gi: set dtype: bfloat16 (" in line


def test_an_unreachable_model_leaves_the_rest_of_the_plan_intact(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(folder, model_name_or_path=str(folder / "nowhere")) == 0

    told = capsys.readouterr().out
    assert "  memory        unknown: there is no directory " in told
    assert "16 rows a step" in told


def test_an_invalid_job_is_refused_as_validate_does(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(folder, learning_rte=1e-4) == 64

    assert "did you mean learning_rate?" in capsys.readouterr().err


def test_a_missing_file_is_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "nothing.yaml"]) == 66

    assert "nothing.yaml cannot be read" in capsys.readouterr().err


def test_an_invalid_size_is_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        plan(folder, "--gpu-memory", "plenty")

    assert "expected an amount of memory such as 24Gi" in capsys.readouterr().err


def test_planning_imports_no_torch(folder: Path) -> None:
    assert plan(folder) == 0
    script = (
        "import sys; from finetune_cli.local.command_line import main; "
        "main(['plan', 'job.yaml']); sys.exit('torch' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True)

    assert done.returncode == 0, done.stderr


def test_a_faster_setting_is_suggested_with_its_figure(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(folder, "--gpu-memory", "80Gi") == 0

    lines = [line for line in capsys.readouterr().out.splitlines() if "  faster  " in line]
    assert lines[0].startswith("  faster        dtype: bfloat16: frozen weights in float32 need ")
    assert "gradient_checkpointing: false: recomputing activations takes 33% of all" in lines[1]
    assert planned(folder, capsys, dtype="bfloat16")["advice"] == []


def test_a_job_that_does_not_fit_is_suggested_a_fit_first(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(folder, "--gpu-memory", "6Gi") == 0

    assert "faster" not in capsys.readouterr().out


@pytest.mark.parametrize("size", ["8Gi", "24Gi", "80Gi"])
def test_a_suggestion_is_valid_and_keeps_the_effective_batch_size(
    folder: Path, capsys: pytest.CaptureFixture[str], size: str
) -> None:
    written = {"packing": True, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}
    before = planned(folder, capsys, **written)
    assert plan(folder, "--suggest", "--gpu-memory", size, **written) == 0
    text = capsys.readouterr().out
    config = yaml.safe_load(text)
    (folder / "config.yaml").write_text(text)

    assert main(["validate", "--strict", "config.yaml"]) == 0
    capsys.readouterr()
    job = yaml.safe_load((folder / "job.yaml").read_text())
    (folder / "job.yaml").write_text(
        yaml.safe_dump({**job, "spec": {**job["spec"], "config": config}})
    )
    assert main(["validate", "job.yaml"]) == 0
    capsys.readouterr()
    assert main(["plan", "job.yaml", "--gpu-memory", size, "--output", "json"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert after["memory"]["fits"]
    assert after["effectiveBatch"] == before["effectiveBatch"]
    assert after["precision"] == before["precision"]
    assert config != job["spec"]["config"]


def test_json_output_contains_the_suggestion_with_its_reasons(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(folder, "--suggest", "--gpu-memory", "80Gi", "--output", "json") == 0

    found = json.loads(capsys.readouterr().out)
    assert found["changes"] == {"gradient_checkpointing": False}
    assert found["config"]["gradient_checkpointing"] is False
    assert found["memory"]["totalBytes"] < found["memory"]["gpuBytes"] == 80 * 1024**3
    assert [it["settings"] for it in found["advice"]] == [found["changes"]]


@pytest.mark.parametrize(
    ("options", "gpus", "config", "code", "told"),
    [
        pytest.param([], 1, {}, 2, "--suggest needs the memory of a GPU: add --gpu-memory",
                     id="without a GPU"),
        pytest.param(["--gpu-memory", "80Gi"], 0, {}, 64, "a job without GPUs", id="on CPUs"),
        pytest.param(["--gpu-memory", "3Gi"], 1, {}, 64,
                     "no config with the same result fits in 3Gi: set dtype: bfloat16",
                     id="a GPU that is too small"),
        pytest.param(["--gpu-memory", "80Gi"], 1, {"model_name_or_path": "./nowhere"}, 64,
                     "the memory is unknown: there is no directory ", id="unknown model"),
    ],
)  # fmt: skip
def test_a_missing_suggestion_is_explained(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    gpus: int,
    config: Mapping[str, Any],
    code: int,
    told: str,
) -> None:
    assert plan(folder, "--suggest", *options, gpus=gpus, **config) == code

    written = capsys.readouterr()
    assert told in written.err
    assert not written.out


@pytest.mark.parametrize(
    ("options", "told", "rows"),
    [
        pytest.param(["--gpu-memory", "80Gi"],
                     "16 rows (auto) x 2 processes = 32 rows a step", 16, id="on a large GPU"),
        pytest.param(["--gpu-memory", "3Gi"],
                     "1 rows (auto) x 16 accumulated x 2 processes = 32 rows a step", 1,
                     id="on one that is too small"),
        pytest.param([], "32 rows a step, in the largest micro-batches that fit: add --gpu-memory "
                     "to see which (counted below: single rows)", None, id="on an unknown one"),
    ],
)  # fmt: skip
def test_an_automatic_micro_batch_is_planned_for_the_gpu(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    told: str,
    rows: int | None,
) -> None:
    auto = {"per_device_train_batch_size": "auto", "gradient_accumulation_steps": 16}
    assert plan(folder, *options, **auto) == 0
    assert f"  batch         {told}\n" in capsys.readouterr().out

    assert plan(folder, *options, "--output", "json", **auto) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["microBatch"], found["effectiveBatch"]) == (rows, 32)


def test_a_suggestion_does_not_override_an_automatic_micro_batch(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    auto = {"per_device_train_batch_size": "auto", "gradient_accumulation_steps": 16}
    assert plan(folder, "--suggest", "--gpu-memory", "80Gi", "--output", "json", **auto) == 0

    assert json.loads(capsys.readouterr().out)["changes"] == {"gradient_checkpointing": False}
