# SPDX-License-Identifier: Apache-2.0
"""The results page in a release: separate pods, a separate image, no permissions."""

from chart.releases import WAYS, render
from testbed import images


def test_the_results_page_has_no_rights_and_is_not_an_operator_replica() -> None:
    release = render(*WAYS["a results page"])
    page, service = (
        next(it for it in release.of(kind) if it["metadata"]["name"] == "finetune-results-page")
        for kind in ("Deployment", "Service")
    )
    pod = page["spec"]["template"]

    assert pod["spec"]["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod["spec"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    selectors = [
        release.only("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        release.deployment["spec"]["selector"]["matchLabels"],
    ]
    assert not any(it.items() <= pod["metadata"]["labels"].items() for it in selectors)


def test_the_results_page_runs_its_own_image_with_that_images_entrypoint() -> None:
    release = render(*WAYS["a results page"])
    (container,) = release.page["containers"]

    assert container["image"] == images.RESULTS_PAGE.tag
    assert container["image"] != release.container["image"] == images.OPERATOR.tag
    assert not container.keys() & {"command", "args"}


def test_the_results_pages_image_is_configured_independently_of_the_operators() -> None:
    release = render(*WAYS["a results page by digest"])
    (container,) = release.page["containers"]
    by_operators_digest = render("resultsPage.enabled=true", *WAYS["an image by digest"])

    assert container["image"] == (
        f"registry.example.com/ml/finetune-results-page@sha256:{'1' * 64}"
    )
    assert container["imagePullPolicy"] == "Always"
    assert release.page["imagePullSecrets"] == [{"name": "registry"}]
    assert release.container["image"] == images.OPERATOR.tag
    assert by_operators_digest.page["containers"][0]["image"] == images.RESULTS_PAGE.tag
