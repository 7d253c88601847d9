# SPDX-License-Identifier: Apache-2.0
"""The results page in a real Chromium, with reads from a real API server."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from cluster.api_access import server_and_authority_of
from cluster.replica import is_served
from cluster.replicas import wait_until
from support.page_tab import a_tab, violations
from testbed.control_plane import ControlPlane
from testbed.ports import free_ports

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

# The page reads every five seconds, which is also the default timeout of these checks.
expect.set_options(timeout=30_000)

CURVE = [{"step": step, "loss": round(3 / (1 + step / 40), 4)} for step in range(10, 210, 10)]
RUNNING = {
    "phase": "Running",
    "attempt": 1,
    "gpus": 2,
    "progress": {
        "phase": "Training",
        "attempt": 1,
        "percent": 50,
        "step": 200,
        "totalSteps": 400,
        "loss": 0.5,
        "tokensPerSecond": 4120,
        "eta": "12m30s",
    },
    "lossHistory": CURVE,
    "attempts": [
        {"number": 1, "name": "a-1", "result": "Running", "startTime": "2026-01-01T00:00:00Z"}
    ],
    "conditions": [],
}
FAILED = {
    "phase": "Failed",
    "failure": {
        "reason": "ModelNotFound",
        "message": "there is no model s3://models/tiny",
        "remedy": "Name one that is there.",
    },
}
SUCCEEDED = {
    "phase": "Succeeded",
    "progress": {"phase": "Publishing", "attempt": 1, "percent": 100, "step": 400},
    "lossHistory": CURVE,
    "answers": [
        {"prompt": "Name a colour.", "before": "I I I", "after": "Blue."},
        {"prompt": "Name a fruit.", "before": "fruit fruit", "after": "An apple."},
    ],
    "artifact": {"uri": "s3://models/done/abc", "digest": "sha256:0", "sizeBytes": 1},
}


@pytest.fixture(scope="module")
def url(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the page, served as in a pod."""
    folder = tmp_path_factory.mktemp("page")
    server, authority = server_and_authority_of(plane.kubeconfig)
    (folder / "ca.crt").write_text(authority)
    (port,) = free_ports(1)
    environment = os.environ | {
        "API_SERVER": server,
        "API_SERVER_CA": str(folder / "ca.crt"),
        "LISTEN_ADDRESS": "127.0.0.1",
        "PORT": str(port),
    }
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "finetune_results_page"],
            env=environment,
            stdout=output,
            stderr=output,
        )
    served = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: is_served(f"{served}/healthz"), "the page is served", 20)
        yield served
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def token(plane: ControlPlane, team: str) -> str:
    """The token of a user who may read the jobs of one namespace."""
    here = ("--namespace", team)
    plane.kubectl("create", "serviceaccount", "reader", *here)
    rights = ("--verb=get,list", "--resource=finetunejobs.finetune.dev")
    plane.kubectl("create", "role", "reader", *rights, *here)
    who = ("--role=reader", f"--serviceaccount={team}:reader")
    plane.kubectl("create", "rolebinding", "reader", *who, *here)
    return plane.kubectl("create", "token", "reader", *here).strip()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with a_tab(browser, url) as page:
        yield page


@pytest.fixture
def signed_in(page: Page, url: str, team: str, token: str) -> Page:
    page.goto(f"{url}/#/{team}")
    page.get_by_label("Bearer token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name=f"Jobs in {team}").wait_for()
    return page


@pytest.fixture
def tell(plane: ControlPlane, team: str) -> Iterator[Callable[[str, Any], None]]:
    """Creates a job with this status, as the operator would have written it."""

    def tell(name: str, status: Any) -> None:
        job = {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": name, "namespace": team},
            "spec": {
                "config": {"model_name_or_path": "s3://models/tiny", "dataset_name": "s3://d/tiny"},
                "output": {"uri": f"s3://models/{name}"},
            },
        }
        plane.kubectl("apply", "-f", "-", input=json.dumps(job))
        patch = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
        plane.kubectl("patch", "finetunejob", name, "--namespace", team, *patch)

    yield tell
    # Other tests' operators watch all namespaces.
    plane.kubectl("delete", "finetunejobs", "--all", "--namespace", team)


Tell = Callable[[str, Any], None]


def test_a_wrong_token_is_refused_and_the_form_keeps_the_focus(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_label("Bearer token").fill("wrong")
    page.keyboard.press("Enter")

    expect(page.get_by_role("alert")).to_have_text("The API server does not take this token.")
    expect(page.get_by_label("Bearer token")).to_be_focused()


def test_a_forbidden_namespace_is_refused_with_the_api_servers_message(
    signed_in: Page, team: str
) -> None:
    signed_in.get_by_label("Namespace").fill("")
    signed_in.get_by_role("button", name="Show").click()

    expect(signed_in.get_by_role("alert")).to_contain_text(
        f'User "system:serviceaccount:{team}:reader" cannot list resource "finetunejobs"'
    )


def test_a_row_shows_the_columns_that_kubectl_prints(
    signed_in: Page, plane: ControlPlane, team: str, tell: Tell
) -> None:
    tell("failed", FAILED)
    tell("running", RUNNING)
    wide = ("get", "finetunejobs", "running", "-o", "wide", "--no-headers", "--namespace", team)
    printed = plane.kubectl(*wide).split()

    row = signed_in.get_by_role("row").filter(has_text="running")

    expect(row).to_contain_text("12m30s")
    assert printed[:7] == ["running", "Running", "50", "200", "0.5", "12m30s", "2"]
    for text in ("running", "tiny", "Running", "50 %", "step 200", "0.5", "12m30s", "2"):
        expect(row).to_contain_text(text)
    columns = ["Compare", "Job", "Phase", "Progress", "Loss", "Remaining", "GPUs", "Age"]
    expect(signed_in.get_by_role("columnheader")).to_have_text(columns)
    expect(row.get_by_role("img")).to_have_accessible_name(
        "Loss: from 2.4 at step 10 to 0.5 at step 200"
    )
    row.get_by_role("link").click()
    expect(signed_in.get_by_role("heading", level=1)).to_have_text("running")


def test_the_curve_of_a_job_grows_while_it_is_open(signed_in: Page, tell: Tell) -> None:
    tell("running", RUNNING)
    signed_in.get_by_role("link", name="running").click()
    picture = signed_in.get_by_role("img")
    expect(picture).to_have_accessible_name("Loss: from 2.4 at step 10 to 0.5 at step 200")
    signed_in.get_by_text("Figures").click()

    tell("running", RUNNING | {"lossHistory": [*CURVE, {"step": 210, "loss": 0.4444}]})

    expect(picture).to_have_accessible_name("Loss: from 2.4 at step 10 to 0.4444 at step 210")
    # The sections that the user had opened stay open.
    expect(signed_in.get_by_role("cell", name="0.4444")).to_be_visible()


def test_a_failure_is_shown_with_its_remedy(signed_in: Page, tell: Tell) -> None:
    tell("failed", FAILED)
    signed_in.get_by_role("link", name="failed").click()

    told = signed_in.get_by_role("region", name="What went wrong")

    expect(told).to_contain_text("ModelNotFound")
    expect(told).to_contain_text("there is no model s3://models/tiny")
    expect(told).to_contain_text("What to do: Name one that is there.")


def test_answers_before_and_after_are_shown_side_by_side(signed_in: Page, tell: Tell) -> None:
    tell("done", SUCCEEDED)
    signed_in.get_by_role("link", name="done").click()

    row = signed_in.get_by_role("row").filter(has_text="Name a fruit.")

    expect(row.get_by_role("cell")).to_have_text(["Name a fruit.", "fruit fruit", "An apple."])


def test_text_of_a_job_never_becomes_markup(signed_in: Page, tell: Tell) -> None:
    script = "<img src=x onerror=\"document.title='owned'\"><script>alert(1)</script>"
    tell("hostile", FAILED | {"failure": {"reason": "R", "message": script, "remedy": script}})
    signed_in.get_by_role("link", name="hostile").click()

    expect(signed_in.get_by_role("region", name="What went wrong")).to_contain_text(script)
    assert signed_in.locator("main img, main script").count() == 0
    expect(signed_in).to_have_title("hostile: Failed · Fine-tuning")


def test_the_complete_page_is_usable_by_keyboard(
    page: Page, url: str, team: str, token: str, tell: Tell
) -> None:
    tell("running", RUNNING)
    page.goto(f"{url}/#/{team}")
    expect(page.get_by_label("Bearer token")).to_be_focused()
    page.keyboard.insert_text(token)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="running").wait_for()

    _tab_to(page, "running")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("running")
    _tab_to(page, "Figures")
    page.keyboard.press("Enter")

    expect(page.get_by_role("cell", name="2.4", exact=True)).to_be_visible()


def test_a_change_is_announced_to_screen_readers_once(signed_in: Page, tell: Tell) -> None:
    tell("running", RUNNING)
    signed_in.get_by_role("link", name="running").click()
    expect(signed_in.get_by_role("status")).to_have_text("running: Running")

    tell("running", SUCCEEDED)

    expect(signed_in.get_by_role("status")).to_have_text("running: Succeeded")


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_no_view_of_a_job_has_an_accessibility_violation(
    page: Page, url: str, team: str, token: str, tell: Tell, colours: Any
) -> None:
    tell("failed", FAILED)
    tell("done", SUCCEEDED)
    page.emulate_media(color_scheme=colours)
    page.goto(f"{url}/#/{team}")
    page.get_by_label("Bearer token").wait_for()
    found = [violations(page)]
    page.get_by_label("Bearer token").fill(token)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="done").wait_for()
    found.append(violations(page))
    for name in ("failed", "done"):
        page.goto(f"{url}/#/{team}/{name}")
        page.get_by_role("heading", name=name).wait_for()
        found.append(violations(page))
    page.goto(f"{url}/?view=compare&job={team}/failed&job={team}/done")
    page.get_by_role("heading", name="Compare 2 jobs").wait_for()
    found.append(violations(page))

    assert found == [[], [], [], [], []]


def test_signing_out_discards_the_token(signed_in: Page) -> None:
    signed_in.get_by_role("button", name="Sign out").click()

    signed_in.reload()

    expect(signed_in.get_by_label("Bearer token")).to_be_visible()


@pytest.mark.parametrize(
    "path",
    [
        "/?namespace=..%2f..%2fapi",
        "/?namespace=team&name=..%2f..%2fsecrets",
        "/?namespace=team&name=mine%3fwatch=1",
        "/?namespace=team%00",
        "/?view=compare&job=team/..%2f..%2fsecrets",
    ],
)
def test_only_jobs_can_be_requested(url: str, path: str) -> None:
    request = urllib.request.Request(f"{url}{path}", headers={"Authorization": "Bearer any"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)

    assert refused.value.code == 400
    assert re.search(r"is not the name of a namespace or a job", refused.value.read().decode())


def _tab_to(page: Page, text: str) -> None:
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == text:
            return
    raise AssertionError(f"{text} is not reached by Tab")
