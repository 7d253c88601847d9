# SPDX-License-Identifier: Apache-2.0
"""Specs of an attacker, as JSON text, with a word that each refusal must contain."""

import json
from collections.abc import Mapping
from typing import Any

from cluster.hostile_tenant import CONFIG, spec_text


def nested(levels: int, opening: str = '{"a":', closing: str = "}") -> str:
    return opening * levels + "1" + closing * levels


def a_config(**keys: str) -> str:
    """Returns a spec with these JSON texts as keys of its config and a model that exists on the
    hub.
    """
    known = {**CONFIG, "model_name_or_path": "known"}
    texts = {key: _q(value) for key, value in known.items()} | keys
    return f'{{"config": {{{", ".join(f"{_q(key)}: {text}" for key, text in texts.items())}}}}}'


def a_model(name: str, **keys: str) -> str:
    """A spec with a model of the hub."""
    return a_config(**keys).replace('"known"', json.dumps(name), 1)


def _q(value: Any) -> str:
    return json.dumps(value)


def _trainer(**fields: Any) -> str:
    return _q({"podTemplate": {"spec": {"containers": [{"name": "trainer", **fields}]}}})


# It names modules that the model has, because others are refused if the model is known.
_EXPONENTIAL = '"([a-z0-9_.]+)+!|.*q_proj"'

SPECS: Mapping[str, tuple[str, str]] = {
    "nested 40 deep": (a_config(model_init_kwargs=nested(40)), "model_init_kwargs"),
    "nested 850 deep": (a_config(model_init_kwargs=nested(850)), "model_init_kwargs"),
    "nested 1100 deep": (a_config(model_init_kwargs=nested(1100)), "model_init_kwargs"),
    "nested 9000 deep": (a_config(lr_scheduler_kwargs=nested(9000)), "lr_scheduler_kwargs"),
    "lists 9000 deep": (a_config(datasets=nested(9000, "[", "]")), "datasets"),
    "an unknown key 9000 deep": (a_config(no_such=nested(9000)), "no_such"),
    "affinity 3000 deep": (
        f'{{"podTemplate": {{"spec": {{"affinity": {{"nodeAffinity": {nested(3000)}}}}}}}}}',
        "nodeAffinity",
    ),
    "containers that no job has, 3000 deep": (
        f'{{"podTemplate": {{"spec": {{"initContainers": {nested(3000, "[", "]")}}}}}}}',
        "initContainers",
    ),
    "25,000 letters for a mapping": (a_config(model_init_kwargs=_q("a" * 25_000)), "a mapping"),
    "50,000 letters for a mapping": (a_config(dataset_kwargs=_q("a" * 50_000)), "50000 characters"),
    "25,000 spaces for a mapping": (a_config(model_init_kwargs=_q(" " * 25_000)), "a mapping"),
    "30,000 brackets for a mapping": (a_config(model_init_kwargs=_q("{" * 30_000)), "a mapping"),
    "a long split": (a_config(dataset_train_split=_q(f"train[:{'9' * 9000}]")), "split"),
    "a learning rate of 1e308": (a_config(learning_rate="1e308"), "learning_rate"),
    "1e308 epochs": (a_config(num_train_epochs="1e308"), "num_train_epochs"),
    "a million mappings": (a_config(datasets=f"[{','.join(['{}'] * 300_000)}]"), "20000 values"),
    "30,000 keys": (_q({"config": {f"key_{it}": 1 for it in range(30_000)}}), "20000 values"),
    "5,000 unknown keys": (_q({"config": {f"key_{it}": 1 for it in range(5000)}}), "key_"),
    "a text of 1 MiB": (a_config(chat_template_path=_q("x" * 1_060_000)), "chat_template_path"),
    "1 MiB of short texts": (a_config(env=_q({f"A{it}": "x" * 1000 for it in range(1050)})), "Ki"),
    "an output of 100 kB": ('{"output": {"uri": "s3://a/' + "x" * 100_000 + '"}}', "output.uri"),
    "an image of 100 kB": (_q({"image": "x" * 100_000}), "image"),
    "a token of 100 kB": (_q({"runToken": "x" * 100_000}), "runToken"),
    "a deadline of 10^12 s": ('{"activeDeadlineSeconds": 1000000000000}', "activeDeadlineSeconds"),
    "a deadline of 2^63-1 s": (_q({"activeDeadlineSeconds": 2**63 - 1}), "activeDeadlineSeconds"),
    "a deadline of 10^400 s": (_q({"activeDeadlineSeconds": 10**400}), ""),
    "a time to live of 10^18 s": (_q({"ttlSecondsAfterFinished": 10**18}), "ttlSeconds"),
    "a start deadline of 10^18 s": (_q({"startDeadlineSeconds": 10**18}), "startDeadlineSeconds"),
    "a grace period of 10^12 s": (
        _q({"terminationGracePeriodSeconds": 10**12}),
        "terminationGrace",
    ),
    "10^9 nodes": (_q({"resources": {"nodes": 10**9}}), "resources.nodes"),
    "10^9 attempts": (_q({"retry": {"maxAttempts": 10**9}}), "maxAttempts"),
    "10,000 variables": (
        _trainer(env=[{"name": f"A{it}", "value": "b"} for it in range(10_000)]),
        "env",
    ),
    "10,000 mounts": (
        _trainer(volumeMounts=[{"name": "a", "mountPath": f"/a{it}"} for it in range(10_000)]),
        "volumeMounts",
    ),
    "10,000 tolerations": (
        _q({"podTemplate": {"spec": {"tolerations": [{"key": "a"}] * 10_000}}}),
        "tolerations",
    ),
    "an annotation of 200 kB for pods": (
        _q({"podTemplate": {"metadata": {"annotations": {"a": "x" * 200_000}}}}),
        "annotations",
    ),
}
"""Each with a word that its refusal contains."""

ODD: Mapping[str, str] = {
    "a batch of 10^12": a_config(per_device_train_batch_size="1000000000039"),
    "an exponential expression": a_config(use_peft="true", lora_target_modules=_EXPONENTIAL),
    "a rank of 10^18": a_config(use_peft="true", lora_r=str(10**18)),
    "half a pair": a_config(run_name='"\\ud800"'),
    "2^63-1 steps": a_config(max_steps=str(2**63 - 1)),
    "memory with 3,000 digits": _q({"resources": {"memory": "9" * 3_000}}),
    "256 long variables": _trainer(
        env=[{"name": f"A{it}", "value": "b" * 3_000} for it in range(256)]
    ),
}
"""Valid in form: an ordinary job, which may get warnings, and may fail."""

METADATA: Mapping[str, Mapping[str, Any]] = {
    "an annotation of 250 kB": {"annotations": {"note": "x" * 250_000}},
    "5,000 annotations": {"annotations": {f"a{it}": "b" for it in range(5000)}},
    "what was applied last, 9,000 deep": {
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": nested(9000)}
    },
    "what was applied last, no JSON": {
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "[" * 100_000}
    },
    "Kueue's annotations": {
        "annotations": {f"kueue.x-k8s.io/a{it}": "x" * 40 for it in range(2000)}
    },
    "3,000 labels": {"labels": {f"a{it}": "b" for it in range(3000)}},
    "our own labels": {"labels": {"finetune.dev/job": "neighbour-1", "finetune.dev/schedule": "a"}},
    "1,000 owners": {
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": f"a{it}", "uid": f"no-such-{it}"}
            for it in range(1000)
        ]
    },
    "a finalizer of its own": {"finalizers": ["example.com/never"]},
}

SCHEDULES: Mapping[str, tuple[str, str]] = {
    "a time of 100 kB": ('"schedule": "' + "a" * 100_000 + '"', "schedule"),
    "10,000 minutes": ('"schedule": "' + ",".join(["1"] * 9_999) + ' * * * *"', ""),
    "30 kB of stars": ('"schedule": "' + "*" * 30_000 + '"', "schedule"),
    "a day that never comes": ('"schedule": "0 0 31 2 *"', "never matches a date"),
    "a zone of 100 kB": ('"timeZone": "' + "a" * 100_000 + '"', "timeZone"),
    "a zone that is a file": ('"timeZone": "../../etc/passwd"', "timeZone"),
    "a deadline of 10^12 s": ('"startingDeadlineSeconds": 1000000000000', "startingDeadline"),
    "a deadline of 2^63-1 s": (f'"startingDeadlineSeconds": {2**63 - 1}', "startingDeadline"),
    "a template 9000 deep": (
        f'"jobTemplate": {{"spec": {spec_text(a_config(model_init_kwargs=nested(9000)))}}}',
        "model_init_kwargs",
    ),
    "a template of a million mappings": (
        f'"jobTemplate": {{"spec": {spec_text(a_config(datasets="[" + "{}," * 300_000 + "{}]"))}}}',
        "20000 values",
    ),
    "a template that lives for 10^18 s": (
        f'"jobTemplate": {{"spec": {spec_text(_q({"ttlSecondsAfterFinished": 10**18}))}}}',
        "ttlSecondsAfterFinished",
    ),
}
"""Parts of a schedule's spec, each with a word that its refusal contains."""


def schedule_text(given: str) -> str:
    right = {
        '"schedule":': '"schedule": "0 2 * * *"',
        '"jobTemplate":': f'"jobTemplate": {{"spec": {spec_text()}}}',
    }
    others = [part for key, part in right.items() if not given.startswith(key)]
    return f"{{{', '.join([*others, given])}}}"
