# SPDX-License-Identifier: Apache-2.0
import re
from dataclasses import fields
from datetime import timedelta

import pytest

from finetune_operator.settings import Settings

MINIMAL = {"TRAINER_IMAGE": "trainer:1"}


def test_only_the_trainer_image_is_required() -> None:
    settings = Settings.from_env(MINIMAL)

    assert settings.trainer_image == "trainer:1"
    assert settings.namespace == "finetune-system"
    assert settings.progress_url == "http://finetune-operator.finetune-system.svc:8080"
    assert settings.kubeconfig is None
    assert (settings.namespaces, settings.allowed_images, settings.output_prefixes) == ((), (), ())
    assert (settings.allow_trust_remote_code, settings.max_gpus) == (False, None)
    assert settings.allowed_host_paths == ()
    assert settings.allowed_service_accounts == ("default",)
    assert (settings.cluster_id, settings.has_network_policies) == (None, True)


def test_every_variable_is_read() -> None:
    settings = Settings.from_env(
        {
            "TRAINER_IMAGE": "trainer:2",
            "POD_NAMESPACE": "ops",
            "POD_NAME": "operator-0",
            "PROGRESS_URL": "http://here:1/",
            "LISTEN_ADDRESS": "127.0.0.1",
            "PORT": "9000",
            "WEBHOOK_PORT": "9443",
            "WEBHOOK_CERTIFICATES": "/certificates",
            "WEBHOOK_CERTIFICATE_SECONDS": "3600",
            "WORKERS": "3",
            "RESYNC_SECONDS": "60",
            "PROGRESS_INTERVAL_SECONDS": "2",
            "SHARED_MEMORY": "8Gi",
            "TRAINER_PULL_SECRETS": "registry, mirror",
            "KUBECONFIG": "admin.conf",
            "LOG_LEVEL": "DEBUG",
            "MODEL_CONFIGS": "http://hub/{model}/resolve/{revision}/config.json",
            "GPU_MEMORY": "80Gi",
            "CLUSTER_ID": "prod/eu-1",
            "TRAINER_NETWORK_POLICY": "false",
            "WATCH_NAMESPACES": "team-a, team-b",
            "NAMESPACES": "team-*, research",
            "ALLOWED_IMAGES": "registry.example.com/ml/*",
            "ALLOW_TRUST_REMOTE_CODE": "True",
            "OUTPUT_PREFIXES": "s3://models/{namespace},",
            "MAX_GPUS": "16",
            "ALLOWED_HOST_PATHS": "/mnt/nvme",
            "ALLOWED_SERVICE_ACCOUNTS": "trainer-*, default",
        }
    )

    assert re.fullmatch(r"operator-0_[0-9a-f]{8}", settings.identity)
    read = {field.name: getattr(settings, field.name) for field in fields(settings)}
    assert read == {
        "trainer_image": "trainer:2",
        "namespace": "ops",
        "identity": settings.identity,
        "progress_url": "http://here:1",
        "listen_address": "127.0.0.1",
        "replica": "operator-0",
        "port": 9000,
        "webhook_port": 9443,
        "webhook_certificates": "/certificates",
        "webhook_validity": timedelta(hours=1),
        "workers": 3,
        "resync": timedelta(seconds=60),
        "progress_interval": timedelta(seconds=2),
        "shared_memory": "8Gi",
        "pull_secrets": ("registry", "mirror"),
        "kubeconfig": "admin.conf",
        "log_level": "DEBUG",
        "model_configs": "http://hub/{model}/resolve/{revision}/config.json",
        "gpu_memory_bytes": 80 * 1024**3,
        "cluster_id": "prod/eu-1",
        "has_network_policies": False,
        "watch_namespaces": ("team-a", "team-b"),
        "namespaces": ("team-*", "research"),
        "allowed_images": ("registry.example.com/ml/*",),
        "allow_trust_remote_code": True,
        "output_prefixes": ("s3://models/{namespace}",),
        "max_gpus": 16,
        "allowed_host_paths": ("/mnt/nvme",),
        "allowed_service_accounts": ("trainer-*", "default"),
    }


def test_outside_a_cluster_the_webhook_is_served_only_on_request() -> None:
    outside = MINIMAL | {"KUBECONFIG": "admin.conf"}

    assert Settings.from_env(MINIMAL).webhook_port == 8443
    assert Settings.from_env(outside).webhook_port is None
    assert Settings.from_env(outside | {"WEBHOOK_PORT": "9443"}).webhook_port == 9443
    assert Settings.from_env(MINIMAL | {"WEBHOOK_PORT": "0"}).webhook_port is None


def test_a_restarted_container_is_another_lease_holder() -> None:
    env = MINIMAL | {"POD_NAME": "operator-0"}

    assert Settings.from_env(env).identity != Settings.from_env(env).identity


@pytest.mark.parametrize(
    ("env", "words"),
    [
        pytest.param({}, "TRAINER_IMAGE is missing", id="no image"),
        pytest.param(
            MINIMAL | {"TRAINER_PULL_SECRETS": "my secret"},
            "TRAINER_PULL_SECRETS has 'my secret', expected the name of a Secret",
            id="no name of a Secret",
        ),
        pytest.param(MINIMAL | {"PORT": "http"}, "PORT is 'http'", id="no number"),
        pytest.param(MINIMAL | {"WORKERS": "0"}, "WORKERS is '0'", id="zero"),
        pytest.param(MINIMAL | {"MAX_GPUS": "-1"}, "MAX_GPUS is '-1'", id="fewer than none"),
        pytest.param(
            MINIMAL | {"ALLOW_TRUST_REMOTE_CODE": "yes"},
            "ALLOW_TRUST_REMOTE_CODE is 'yes', expected true or false",
            id="another word for true",
        ),
        pytest.param(
            MINIMAL | {"TRAINER_NETWORK_POLICY": "off"},
            "TRAINER_NETWORK_POLICY is 'off', expected true or false",
            id="another word for false",
        ),
        pytest.param(
            MINIMAL | {"CLUSTER_ID": "our cluster"},
            "CLUSTER_ID is 'our cluster', expected the id of a cluster",
            id="an id with a space",
        ),
        pytest.param(
            MINIMAL | {"OUTPUT_PREFIXES": "models"},
            "OUTPUT_PREFIXES has 'models', expected a URI",
            id="a prefix of no URI",
        ),
        pytest.param(
            MINIMAL | {"WATCH_NAMESPACES": "research,team-*"},
            r"WATCH_NAMESPACES has 'team-\*', expected the name of a namespace",
            id="a pattern to watch",
        ),
        pytest.param(
            MINIMAL | {"ALLOWED_HOST_PATHS": "/data,scratch"},
            "ALLOWED_HOST_PATHS has 'scratch', expected an absolute path",
            id="no absolute path",
        ),
    ],
)
def test_an_invalid_setting_is_named(env: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Settings.from_env(env)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MODEL_CONFIGS", "http://hub/config.json", r"expected a URL with {model} in it"),
        ("MODEL_CONFIGS", "file:///{model}", r"expected a URL with {model} in it"),
        ("GPU_MEMORY", "80 gigabytes", "GPU_MEMORY: found '80 gigabytes', expected an amount"),
    ],
)
def test_the_tables_of_models_and_gpus_must_be_readable(
    name: str, value: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Settings.from_env(MINIMAL | {name: value})
