# SPDX-License-Identifier: Apache-2.0
"""Jobs that a guard rail forbids are refused, with the setting that would allow them."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune_operator.job.decide.decision import decide
from finetune_operator.job.guard_rails import check_guard_rails
from finetune_operator.job.observe.observation import Observed
from finetune_operator.job.spec import parse_job
from support.factories import CONFIG, NOW, SETTINGS, a_job_body, an_attempt

POD = "spec.podTemplate.spec"
NAMESPACES = {"namespaces": ("research", "team-*")}
IMAGES = {"allowed_images": ("registry.example.com/ml/*",)}
OUTPUTS = {"output_prefixes": ("s3://models/{namespace}/", "s3://scratch")}
HOST_PATHS = {"allowed_host_paths": ("/mnt/nvme",)}
REMOTE = {"config": {**CONFIG, "trust_remote_code": True}}


def told(spec: dict[str, Any], namespace: str = "team", **settings: Any) -> list[str]:
    found = check_guard_rails(a_job_body(**spec)["spec"], namespace, replace(SETTINGS, **settings))
    return [str(problem) for problem in found]


def to(uri: str) -> dict[str, Any]:
    return {"output": {"uri": uri}}


def pushing(**config: Any) -> dict[str, Any]:
    return {"config": {**CONFIG, **config}, **to("s3://scratch/x")}


def of_volume(**source: Any) -> dict[str, Any]:
    return {"podTemplate": {"spec": {"volumes": [{"name": "x", **source}]}}}


def of_host(path: str) -> dict[str, Any]:
    return of_volume(hostPath={"path": path})


def of_account(name: str) -> dict[str, Any]:
    return {"podTemplate": {"spec": {"serviceAccountName": name}}}


def of_env(*names: str) -> dict[str, Any]:
    env = [{"name": name, "value": "x"} for name in names]
    return {"podTemplate": {"spec": {"containers": [{"name": "trainer", "env": env}]}}}


def with_kwargs(kwargs: Any) -> dict[str, Any]:
    return {"config": {**CONFIG, "model_init_kwargs": kwargs}}


@pytest.mark.parametrize(
    ("spec", "namespace", "settings"),
    [
        pytest.param({}, "any", {}, id="no rule"),
        pytest.param({"image": "any/image"}, "any", {}, id="any image without a rule"),
        pytest.param({}, "research", NAMESPACES, id="a namespace by its name"),
        pytest.param({}, "team-a", NAMESPACES, id="a namespace by a pattern"),
        pytest.param({"image": "registry.example.com/ml/sft:2"}, "any", IMAGES, id="an image"),
        pytest.param({}, "any", IMAGES, id="the platform's own image"),
        pytest.param({"image": "trainer:1"}, "any", IMAGES, id="the same, named"),
        pytest.param(REMOTE, "any", {"allow_trust_remote_code": True}, id="remote code"),
        pytest.param(
            {"config": {**CONFIG, "trust_remote_code": False}}, "any", {}, id="no remote code"
        ),
        pytest.param(to("s3://models/team/x"), "team", OUTPUTS, id="the namespace's own folder"),
        pytest.param(to("s3://scratch"), "team", OUTPUTS, id="a prefix itself"),
        pytest.param(
            {"resources": {"nodes": 2, "gpusPerNode": 8}}, "any", {"max_gpus": 16}, id="as many"
        ),
        pytest.param({"resources": {"gpusPerNode": 0}}, "any", {"max_gpus": 1}, id="no GPU"),
        pytest.param(pushing(push_to_hub=False), "team", OUTPUTS, id="not to the hub"),
        pytest.param(
            pushing(push_to_hub=True, hub_model_id="acme/x"),
            "team",
            {"output_prefixes": ("s3://scratch", "hf://acme")},
            id="to an allowed place on the hub",
        ),
        pytest.param(of_host("/mnt/nvme/0"), "any", HOST_PATHS, id="a directory of the node"),
        pytest.param(of_host("/mnt/nvme/"), "any", HOST_PATHS, id="with a slash at its end"),
        pytest.param(of_account("default"), "any", {}, id="the account that there always is"),
        pytest.param(
            of_account("trainer-a"), "any", {"allowed_service_accounts": ("trainer-*",)}, id="named"
        ),
        pytest.param(of_env("AWS_ENDPOINT_URL"), "any", {}, id="any store without a rule"),
        pytest.param(
            {**of_env("AWS_REGION", "AWS_STS_ENDPOINT", "GCE_METADATA_HOST"), **to("s3://scratch")},
            "team",
            OUTPUTS,
            id="credentials of the same store",
        ),
        pytest.param(with_kwargs({"attn_implementation": "sdpa"}), "any", {}, id="no kernel"),
        pytest.param(
            with_kwargs({"attn_implementation": "kernels-community/flash-attn2@v1:f"}),
            "any",
            {},
            id="a kernel of those that transformers trusts",
        ),
        pytest.param(
            with_kwargs({"allow_all_kernels": True, "attn_implementation": "a/b"}),
            "any",
            {"allow_trust_remote_code": True},
            id="any kernel, where code is allowed",
        ),
        pytest.param(of_host("/etc"), "any", {"allowed_host_paths": ("/",)}, id="any folder"),
    ],
)
def test_allowed_settings_pass(
    spec: dict[str, Any], namespace: str, settings: dict[str, Any]
) -> None:
    assert told(spec, namespace, **settings) == []


@pytest.mark.parametrize(
    ("spec", "namespace", "settings", "path", "words", "setting"),
    [
        pytest.param(
            *({}, "sales", NAMESPACES, "metadata.namespace"),
            *('found "sales", expected one of research, team-*', "NAMESPACES"),
            id="another namespace",
        ),
        pytest.param(
            *({"image": "evil/x"}, "any", IMAGES, "spec.image"),
            *('found "evil/x", expected registry.example.com/ml/*', "ALLOWED_IMAGES"),
            id="another image",
        ),
        pytest.param(
            *(of_volume(image={"reference": "evil/x"}), "any", IMAGES),
            *("spec.podTemplate.spec.volumes[0].image.reference", "evil/x", "ALLOWED_IMAGES"),
            id="another image as a volume",
        ),
        pytest.param(
            *(REMOTE, "any", {}, "spec.config.trust_remote_code"),
            *("found true, which runs code from the model's repository", "ALLOW_TRUST_REMOTE_CODE"),
            id="remote code",
        ),
        pytest.param(
            *(with_kwargs({"trust_remote_code": "yes"}), "any", {}),
            *("spec.config.model_init_kwargs.trust_remote_code", "", "ALLOW_TRUST_REMOTE_CODE"),
            id="remote code by keyword",
        ),
        pytest.param(
            *(with_kwargs('{"trust_remote_code": true}'), "any", {}),
            *("spec.config.model_init_kwargs.trust_remote_code", "", "ALLOW_TRUST_REMOTE_CODE"),
            id="remote code in a text",
        ),
        pytest.param(
            *(with_kwargs('{"trust_remote\\u005fcode": true}'), "any", {}),
            *("spec.config.model_init_kwargs.trust_remote_code", "", "ALLOW_TRUST_REMOTE_CODE"),
            id="remote code in a text that hides it",
        ),
        pytest.param(
            *(to("s3://models/other/x"), "team", OUTPUTS, "spec.output.uri"),
            *("a location below one of s3://models/team/, s3://scratch", "OUTPUT_PREFIXES"),
            id="another team's folder",
        ),
        pytest.param(
            *(to("s3://models/team/../other"), "team", OUTPUTS, "spec.output.uri"),
            *("", "OUTPUT_PREFIXES"),
            id="out of the folder",
        ),
        pytest.param(
            *(to("s3://models/team/%2e%2e/other"), "team", OUTPUTS, "spec.output.uri"),
            *("", "OUTPUT_PREFIXES"),
            id="out of the folder in disguise",
        ),
        pytest.param(
            *(to("s3://scratch-of-others/x"), "team", OUTPUTS, "spec.output.uri"),
            *("", "OUTPUT_PREFIXES"),
            id="a bucket whose name begins alike",
        ),
        pytest.param(
            *(pushing(push_to_hub=True, hub_model_id="other/x"), "team", OUTPUTS),
            *("spec.config.push_to_hub", 'found "hf://other/x"', "OUTPUT_PREFIXES"),
            id="the hub too",
        ),
        pytest.param(
            *(pushing(upload_to_hf="yes"), "team", OUTPUTS),
            *("spec.config.push_to_hub", 'found "hf://"', "OUTPUT_PREFIXES"),
            id="the hub in an older spelling, without a name",
        ),
        pytest.param(
            *({"resources": {"nodes": 3, "gpusPerNode": 8}}, "any", {"max_gpus": 16}),
            *("spec.resources", "found 24 GPUs (3 nodes with 8 each), expected at most 16"),
            "MAX_GPUS",
            id="too many GPUs",
        ),
        pytest.param(
            *(of_host("/etc"), "any", {}, "spec.podTemplate.spec.volumes[0].hostPath.path"),
            *("a directory of the node, expected another kind of volume", "ALLOWED_HOST_PATHS"),
            id="a directory of the node",
        ),
        pytest.param(
            *(of_account("admin"), "any", {}, f"{POD}.serviceAccountName"),
            *('found "admin", expected default', "ALLOWED_SERVICE_ACCOUNTS"),
            id="another account",
        ),
        pytest.param(
            *({}, "any", {"allowed_service_accounts": ("trainer",)}, f"{POD}.serviceAccountName"),
            *('found "default", expected trainer', "ALLOWED_SERVICE_ACCOUNTS"),
            id="the account of a job that names none",
        ),
        *(
            pytest.param(
                *({**of_env("HF_TOKEN", name), **to("s3://scratch/x")}, "team", OUTPUTS),
                *(f"{POD}.containers[0].env[1].name", "redirects the output to another store"),
                "OUTPUT_PREFIXES",
                id=name,
            )
            for name in (
                *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_endpoint", "HF_ENDPOINT"),
                *("AZURE_STORAGE_ENDPOINT", "AZURE_STORAGE_USE_EMULATOR", "GOOGLE_BASE_URL"),
                *("AZURE_STORAGE_ACCOUNT_NAME", "STORAGE_EMULATOR_HOST"),
            )
        ),
        pytest.param(
            *({**pushing(env={"HF_ENDPOINT": "http://mine"})}, "team", OUTPUTS),
            *("spec.config.env.HF_ENDPOINT", "another store", "OUTPUT_PREFIXES"),
            id="another hub in the config's own block",
        ),
        *(
            pytest.param(
                *(to(uri), "team", OUTPUTS, "spec.output.uri", "", "OUTPUT_PREFIXES"), id=repr(uri)
            )
            for uri in (
                *("s3://models/te%61m/x", "s3://models/team/%252e%252e/other", "S3://models/team"),
                *("s3://models//team/x", "s3://models/team//x", "s3://models/team/./../other"),
                *("s3://models/team/.\t./other", "s3://models/team\\..\\other", "s3://Models/team"),
                *("s3://models%2Fteam/x", "s3://models/team%2f..%2fother"),
            )
        ),
        *(
            pytest.param(
                *({"config": {**CONFIG, **config}}, "any", {}, f"spec.config.{path}"),
                *("which runs code from", "ALLOW_TRUST_REMOTE_CODE"),
                id=path,
            )
            for path, config in (
                ("attn_implementation", {"attn_implementation": "someone/kernel"}),
                (
                    "model_init_kwargs.attn_implementation",
                    {"model_init_kwargs": {"attn_implementation": "paged|someone/kernel:f"}},
                ),
                (
                    "model_init_kwargs.attn_implementation",
                    {"model_init_kwargs": '{"attn_implementation": {"text_config": "a/b@main"}}'},
                ),
                (
                    "model_init_kwargs.allow_all_kernels",
                    {"model_init_kwargs": {"allow_all_kernels": "yes"}},
                ),
                (
                    "model_init_kwargs.kernel_config",
                    {"model_init_kwargs": {"kernel_config": {"RMSNorm": "a/b:C"}}},
                ),
            )
        ),
        pytest.param(
            *(of_host("/mnt/nvme/../../etc"), "any", HOST_PATHS),
            *("spec.podTemplate.spec.volumes[0].hostPath.path", "", "ALLOWED_HOST_PATHS"),
            id="out of the allowed folder",
        ),
    ],
)
def test_a_disallowed_setting_is_refused_with_who_can_change_it(
    spec: dict[str, Any],
    namespace: str,
    settings: dict[str, Any],
    path: str,
    words: str,
    setting: str,
) -> None:
    (sentence,) = told(spec, namespace, **settings)

    assert sentence.startswith(f"{path}: ")
    assert words in sentence
    assert sentence.endswith(f"; the platform team sets {setting} in the operator's Deployment")


def test_the_operator_refuses_a_job_that_bypassed_the_webhook() -> None:
    job = parse_job(a_job_body(**REMOTE), SETTINGS)

    assert job.is_rejected
    assert "ALLOW_TRUST_REMOTE_CODE" in job.mistakes[0]


def test_no_attempt_of_an_accepted_job_starts_after_a_rule_was_tightened() -> None:
    body = a_job_body(**REMOTE, status={"runId": "0123456789"})

    job = parse_job(body, SETTINGS)

    (mistake,) = job.mistakes
    assert "ALLOW_TRUST_REMOTE_CODE" in mistake
    waiting = decide(job, Observed(), NOW)
    assert (waiting.reason, waiting.attempt_to_start) == ("InvalidSpec", None)
    assert waiting.message == f"no attempt is started: {mistake}"


def test_an_attempt_that_runs_while_a_rule_is_tightened_runs_to_its_end() -> None:
    running = an_attempt(1)
    job = parse_job(a_job_body(**REMOTE, status={"runId": "0123456789"}), SETTINGS)

    decision = decide(job, Observed(attempts=(running,), started_pods=1), NOW)

    assert not job.is_rejected
    assert (decision.phase, decision.stop, decision.job_to_delete) == ("Starting", None, None)


def test_a_volume_added_later_cannot_bypass_a_rule() -> None:
    job = parse_job(a_job_body(**of_host("/etc"), status={"runId": "0123456789"}), SETTINGS)

    (mistake,) = job.mistakes
    assert "ALLOWED_HOST_PATHS" in mistake


def test_the_page_for_platform_teams_names_every_setting() -> None:
    root = Path(__file__).parents[3]
    page = (root / "docs" / "platform" / "guard-rails.md").read_text()
    module = root / "operator" / "src" / "finetune_operator" / "job" / "guard_rails.py"

    asked = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)*)"\)?$', module.read_text(), re.MULTILINE))
    assert len(asked) == 7
    assert set(re.findall(r"^\| `([A-Z_]+)`", page, re.MULTILINE)) == asked
