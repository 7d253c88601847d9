# SPDX-License-Identifier: Apache-2.0
"""A config is normalised once where it enters a process, and carried by type from there."""

import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finetune_cli.files.job_file import parse_job as parse_file
from finetune_contract.run import World
from finetune_operator.job.reconcile import reconcile
from finetune_operator.job.spec import parse_job
from finetune_operator.webhook.review import review
from finetune_spec.config.parse import sft_config
from finetune_spec.job import KnownModel
from finetune_trainer.attempt import stages
from finetune_trainer.exchange.rank_results import RankEnding, RankResult
from finetune_trainer.exchange.rank_settings import RankSettings
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.progress.reporting import Reporter, silent
from finetune_trainer.ranks import rank
from finetune_trainer.supervision.context import AttemptContext
from support.factories import CONFIG, NOW, SETTINGS, a_job_body
from support.fake_cluster import FakeCluster
from trainer.runs import a_folder, a_run

MODEL = KnownModel(
    config={
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 256,
        "max_position_embeddings": 2048,
    }
)


class Count:
    """The normalisations so far."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.configs: list[Any] = []
        whole = sft_config.modernize

        def counted(config: Any) -> Any:
            self.configs.append(config)
            return whole(config)

        monkeypatch.setattr(sft_config, "modernize", counted)

    def take(self) -> int:
        """The number since the last call."""
        number = len(self.configs)
        self.configs.clear()
        return number


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Count:
    return Count(monkeypatch)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(CONFIG, id="right"),
        pytest.param({**CONFIG, "learning_rte": 1}, id="wrong"),
        pytest.param({**CONFIG, "max_seq_length": 512}, id="in an older spelling"),
        pytest.param({**CONFIG, "accelerate_config": "fsdp2"}, id="with a launch profile"),
    ],
)
def test_every_pass_of_the_operator_over_a_job_normalises_its_config_once(
    count: Count, config: dict[str, Any]
) -> None:
    cluster = FakeCluster(a_job_body(config=config))

    for _ in range(3):  # Accept, start, watch.
        asyncio.run(reconcile(cluster.job, cluster=cluster, settings=SETTINGS, now=NOW))
        assert count.take() == 1


def test_a_known_model_causes_no_second_parse(count: Count) -> None:
    job = parse_job(a_job_body(config=CONFIG), SETTINGS, MODEL)

    assert job.estimated_memory_bytes is not None
    assert count.take() == 1


def test_an_admission_review_normalises_once(count: Count) -> None:
    request = {"kind": {"kind": "FineTuneJob"}, "operation": "CREATE", "object": a_job_body()}

    review(request, SETTINGS)

    assert count.take() == 1


def test_a_job_file_is_parsed_once_for_checking_and_running(count: Count) -> None:
    file = a_job_body(config=CONFIG)
    content = json.dumps({key: file[key] for key in ("apiVersion", "kind", "metadata", "spec")})

    job = parse_file(content.encode(), "job.json")

    assert job.config["model_name_or_path"] == CONFIG["model_name_or_path"]
    assert count.take() == 1


class RanksAreNotStarted(Exception):
    """Ends an attempt before its ranks would start."""


@pytest.mark.parametrize("adjustments", [{}, {"per_device_train_batch_size": 4}])
def test_a_supervisor_normalises_once_between_reading_and_starting_its_ranks(
    count: Count, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adjustments: dict[str, Any]
) -> None:
    def run_ranks(*_: Any) -> list[RankResult]:
        raise RanksAreNotStarted

    monkeypatch.setattr(stages.launching, "run_ranks", run_ranks)
    model = a_folder(tmp_path / "model", {"config.json": json.dumps(MODEL.config).encode()})
    data = a_folder(tmp_path / "data", {"train.jsonl": b'{"text": "a"}\n'})
    workspace = Workspace(root=tmp_path / "work")
    workspace.root.mkdir()
    document = a_run(
        output=(tmp_path / "out").as_uri(),
        world=World(),
        adjustments=adjustments,
        model_name_or_path=str(model),
        dataset_name=str(data),
        accelerate_config="ddp",
    )
    context = AttemptContext(
        workspace=workspace,
        environment={},
        hardware=Hardware(gpus=0, cpus=2),
        stop=StopRequest(),
        reporter=Reporter(workspace, silent, 5.0, attempt=1),
        grace_seconds=30.0,
    )

    outcome = stages.carry_out(document, context)

    assert outcome.failure is not None
    assert RanksAreNotStarted.__name__ in outcome.failure.message
    assert workspace.config.is_file(), "the attempt came to the ranks"
    assert count.take() == 1


def test_a_rank_normalises_once(
    count: Count, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(root=tmp_path)
    workspace.config.write_text("report_to: none\n")
    workspace.rank_settings.write_text(RankSettings(world_size=1).to_json())
    trained = RankResult(rank=0, time=0.0, ending=RankEnding.FINISHED)
    training = SimpleNamespace(train=lambda *_: trained)
    monkeypatch.setitem(sys.modules, "finetune_trainer.ranks.training", training)
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    monkeypatch.setattr(rank, "die_with_parent", lambda: None)

    assert rank.main(workspace, 0) == 0
    assert count.take() == 1
