# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest

from finetune_spec.pods import check_pods
from finetune_spec.quantities import parse_amount


def told(**resources: Any) -> list[str]:
    return [str(problem) for problem in check_pods({"resources": {"gpusPerNode": 0, **resources}})]


@pytest.mark.parametrize(
    "resources",
    [
        {"limits": {"cpu": "8"}},
        {"cpu": "500m", "limits": {"cpu": 1}},
        {"cpu": 2, "limits": {"cpu": "2000m"}},
        {"memory": "64Gi", "limits": {"memory": "96Gi"}},
        {"memory": "1e3", "limits": {"memory": "1k"}},
        {"ephemeralStorage": "1Gi", "limits": {"ephemeralStorage": "1.5Gi"}},
        {"cpu": "1", "limits": {"cpu": "9" * 40}},
        {"cpu": "1", "limits": {"cpu": "1e99999999"}},
        {"cpu": "1", "limits": {}},
        {"limits": None},
    ],
)
def test_limits_at_or_above_the_requests_are_accepted(resources: dict[str, Any]) -> None:
    assert told(**resources) == []


@pytest.mark.parametrize(
    ("resources", "sentence"),
    [
        (
            {"cpu": 2, "limits": {"cpu": "1500m"}},
            (
                "spec.resources.limits.cpu: found 1500m, expected at least spec.resources.cpu, "
                "which is 2"
            ),
        ),
        (
            {"memory": "1Gi", "limits": {"memory": "1G"}},
            (
                "spec.resources.limits.memory: found 1G, expected at least spec.resources.memory, "
                "which is 1Gi"
            ),
        ),
        (
            {"ephemeralStorage": "10Gi", "limits": {"ephemeralStorage": "0"}},
            (
                "spec.resources.limits.ephemeralStorage: found 0, expected at least "
                "spec.resources.ephemeralStorage, which is 10Gi"
            ),
        ),
    ],
)
def test_a_limit_below_its_request_is_refused(resources: dict[str, Any], sentence: str) -> None:
    assert told(**resources) == [sentence]


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (
            {"cpu": "2500m", "limits": {"cpu": 2.5}},
            "2500m, but CPUs are pinned only in whole numbers",
        ),
        ({"cpu": "2500m", "limits": {"cpu": "2500m"}}, "Set both to 3 to have CPUs pinned"),
        ({"cpu": 8, "limits": {"cpu": "8", "memory": "96Gi"}}, "limits.memory to 64Gi to have"),
    ],
)
def test_nearly_pinned_cpus_get_a_warning(resources: dict[str, Any], words: str) -> None:
    [problem] = check_pods({"resources": {"gpusPerNode": 0, "memory": "64Gi", **resources}})

    assert problem.is_warning
    assert problem.path == "spec.resources.limits.cpu"
    assert words in problem.message


@pytest.mark.parametrize(
    "resources",
    [
        pytest.param({"cpu": 8, "limits": {"cpu": 8}}, id="pinned"),
        pytest.param({"cpu": 8, "limits": {"cpu": 8, "memory": "65536Mi"}}, id="the same memory"),
        pytest.param({"cpu": "2500m"}, id="no limit"),
        pytest.param({"cpu": "2500m", "limits": {"cpu": 4}}, id="a limit for bursts"),
        pytest.param({"cpu": 8, "limits": {"cpu": 8}, "memory": None}, id="memory has no limit"),
    ],
)
def test_other_resources_get_no_warning_about_pinning(resources: dict[str, Any]) -> None:
    assert told(**{"memory": "64Gi", **resources}) == []


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", 0.5), ("1.5Gi", 1.5 * 1024**3), (".5", 0.5), ("2.", 2), ("1E+3", 1000), ("1E", 1e18)],
)
def test_quantities_are_parsed_as_kubernetes_does(text: str, number: float) -> None:
    assert parse_amount(text) == number


@pytest.mark.parametrize("text", ["", ".", "Gi", "1 Gi", "-1", "1e", "1KI"])
def test_an_invalid_quantity_is_none(text: str) -> None:
    assert parse_amount(text) is None
