# SPDX-License-Identifier: Apache-2.0
"""The list of jobs in a real Chromium, in front of a fake API server with jobs of every kind."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from support.fake_jobs_api import READER, FakeJobsApi, served_page
from support.listed_jobs import a_curve, a_job
from support.page_tab import a_tab, sideways, violations

# The same marks as the results page's other browser tests: Chromium is installed for them.
pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

expect.set_options(timeout=30_000)

PHASES = {
    "Pending": "charts",
    "Queued": "summaries",
    "Starting": "diagrams",
    "Running": "answers",
    "Publishing": "captions",
    "Retrying": "tickets",
    "Suspended": "receipts",
    "Succeeded": "balloon",
    "Failed": "translation",
}
LONG = "w" * 250
HOSTILE = "<script>alert(1)</script>" + "W" * 200
SIZES = {"desktop": (1440, 900), "1100 pixels": (1100, 800), "phone": (360, 740)}


def all_jobs() -> list[dict[str, Any]]:
    jobs = [
        a_job(name, phase=phase, days_old=days, lossHistory=a_curve(20 + days))
        for days, (phase, name) in enumerate(PHASES.items())
    ]
    metrics = {"eval_mean_token_accuracy": 0.8123, "exact_match": 0.71}
    jobs[-2]["status"]["progress"] |= {"loss": 0.25, "metrics": metrics}
    config = {"model_name_or_path": HOSTILE, "learning_rate": 1e-4, "note": HOSTILE}
    failure = {"reason": HOSTILE, "message": HOSTILE, "remedy": HOSTILE}
    rest = {"failure": failure, "queue": HOSTILE, "progress": {"metrics": {HOSTILE: 1}}}
    jobs.append(a_job(LONG, namespace="n" * 63, phase="Failed", config=config, **rest, days_old=20))
    return jobs


@pytest.fixture
def api() -> FakeJobsApi:
    api = FakeJobsApi()
    api.put(*all_jobs())
    return api


@pytest.fixture
def url(api: FakeJobsApi) -> Iterator[str]:
    with served_page(api) as url:
        yield url


Tab = Callable[..., AbstractContextManager[Page]]


@pytest.fixture
def tab(browser: Browser, url: str) -> Tab:
    """A tab behind a proxy that authenticates its reader, at an address of the page."""

    @contextmanager
    def tab(address: str = "?", **settings: Any) -> Iterator[Page]:
        headers = {"Authorization": READER}
        with a_tab(browser, url, extra_http_headers=headers, **settings) as page:
            page.goto(f"{url}/{address}")
            yield page

    return tab


def names(page: Page) -> list[str]:
    return page.locator("td.job > a").all_inner_texts()


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES.values(), ids=list(SIZES))
def test_every_view_fits_its_window_without_accessibility_violations(
    tab: Tab, size: tuple[int, int], colours: Any
) -> None:
    far = f"{'n' * 63}/{LONG}"
    views = {
        "Jobs": "?",
        "Compare 3 jobs": f"?view=compare&job=research/balloon&job=research/answers&job={far}",
        "balloon": "?namespace=research&name=balloon",
        LONG: f"?namespace={'n' * 63}&name={LONG}",
    }
    found = {}
    with tab(viewport={"width": size[0], "height": size[1]}, color_scheme=colours) as page:
        for heading, address in views.items():
            page.goto(f"{page.url.split('?')[0]}{address}")
            expect(page.get_by_role("heading", level=1)).to_have_text(heading)
            found[heading] = (sideways(page), violations(page))

    assert found == dict.fromkeys(views, (0, []))


def test_each_phase_has_a_word_and_its_own_icon(tab: Tab) -> None:
    with tab() as page:
        for phase, name in PHASES.items():
            row = page.get_by_role("row").filter(
                has=page.get_by_role("link", name=name, exact=True)
            )
            expect(row.locator("td.phase")).to_contain_text(phase)
        icons = page.locator("#phases .icon path").evaluate_all(
            "all => all.map(it => it.outerHTML)"
        )

    assert len(icons) == len(set(icons)) == len(PHASES)


def test_typed_text_filters_the_list_and_the_count_is_announced(tab: Tab) -> None:
    with tab() as page:
        page.get_by_label("Find").press_sequentially("ball")

        expect(page.get_by_role("status")).to_have_text("Jobs: 1 of 10 jobs")
        assert names(page) == ["balloon"]
        expect(page.get_by_label("Find")).to_be_focused()
        expect(page.get_by_label("Find")).to_have_value("ball")
        expect(page).to_have_url(re.compile(r"\?q=ball$"))
        page.get_by_role("link", name="Clear the filter").click()
        expect(page.get_by_role("status")).to_have_text("Jobs: 10 jobs")
        expect(page.get_by_label("Find")).to_have_value("")


def test_a_filter_that_is_cleared_right_after_typing_stays_cleared(tab: Tab) -> None:
    with tab("?q=ball") as page:
        page.get_by_role("link", name="Clear the filter").evaluate(
            """link => {
                const text = document.getElementById("find-text");
                text.value = "balloon";
                text.dispatchEvent(new InputEvent("input", { bubbles: true }));
                link.click();
            }"""
        )
        # Timers end in order: a search for the typed text would begin before.
        page.evaluate("new Promise((resolve) => setTimeout(resolve, 300))")

        expect(page.get_by_role("status")).to_have_text("Jobs: 10 jobs")
        expect(page).not_to_have_url(re.compile("q="))


def test_typing_is_not_interrupted_by_a_refresh(tab: Tab, api: FakeJobsApi) -> None:
    with tab("?q=nothing-like-it") as page:
        expect(page.get_by_role("status")).to_have_text("Jobs: 0 of 10 jobs")
        page.get_by_label("Find").focus()
        page.evaluate("document.getElementById('find-text').dataset.same = 'yes'")

        api.put(a_job("nothing-like-it"))

        expect(page.get_by_role("status")).to_have_text("Jobs: 1 of 11 jobs")
        expect(page.get_by_label("Find")).to_be_focused()
        assert page.get_by_label("Find").get_attribute("data-same") == "yes"


def test_phase_and_model_filter_the_list(tab: Tab) -> None:
    with tab() as page:
        running = page.get_by_role("checkbox", name="Running")
        expect(running).to_have_accessible_name("Running, 1 job")
        failed = page.get_by_role("checkbox", name="Failed")
        expect(failed).to_have_accessible_name("Failed, 2 jobs")
        failed.check()
        expect(page.get_by_role("status")).to_have_text("Jobs: 2 of 10 jobs")
        page.get_by_label("Model").select_option("Qwen2.5-7B-Instruct (9)")

        expect(page.get_by_role("status")).to_have_text("Jobs: 1 of 10 jobs")
        assert names(page) == ["translation"]


def test_a_column_heading_sorts_and_shows_the_order(tab: Tab) -> None:
    with tab() as page:
        heading = page.get_by_role("columnheader", name="Loss")
        assert heading.get_attribute("aria-sort") is None

        heading.get_by_role("link").click()
        expect(heading).to_have_attribute("aria-sort", "ascending")
        rising = names(page)
        expect(heading.get_by_role("link")).to_be_focused()
        page.keyboard.press("Enter")
        expect(heading).to_have_attribute("aria-sort", "descending")

    assert rising[0] == "balloon"
    # Without a loss, a job is last in both directions.
    assert rising[-1] == LONG


def test_headings_with_and_without_a_link_share_a_line(tab: Tab) -> None:
    with tab() as page:
        centres = page.locator(".jobs thead th:not(.tick)").evaluate_all(
            """all => all.map(heading => {
                const text = document.createRange();
                text.selectNodeContents(heading.querySelector("a")?.firstChild ?? heading);
                const box = text.getBoundingClientRect();
                return box.top + box.height / 2;
            })"""
        )

    assert len(centres) == 7
    assert max(centres) - min(centres) < 1


def test_selected_jobs_can_be_compared_by_keyboard_only(tab: Tab) -> None:
    with tab("?sort=name") as page:
        for name in ("answers", "balloon"):
            page.get_by_role("checkbox", name=f"Compare {name}", exact=True).focus()
            page.keyboard.press("Space")
            expect(page.get_by_role("checkbox", name=f"Compare {name}", exact=True)).to_be_focused()
        page.get_by_role("button", name="Compare 2 jobs").focus()
        page.keyboard.press("Enter")

        expect(page.get_by_role("heading", level=1)).to_have_text("Compare 2 jobs")
        picture = page.get_by_role("img")
        expect(picture).to_have_accessible_name(
            "Loss of 2 jobs. answers: from 2.601 at step 10 to 0.5 at step 230; "
            "balloon: from 2.656 at step 10 to 0.5 at step 270"
        )
        assert picture.locator("polyline").count() == 2
        row = page.get_by_role("row").filter(has_text="output.uri")
        expect(row.get_by_role("rowheader")).to_have_text("output.uri")
        expect(row.get_by_role("cell")).to_have_text(["s3://models/answers", "s3://models/balloon"])
        accuracy = page.get_by_role("row").filter(has_text="Evaluation: mean token accuracy")
        expect(accuracy.get_by_role("rowheader")).to_have_text("Evaluation: mean token accuracy")
        expect(accuracy.get_by_role("cell")).to_have_text(["none", "0.8123"])
        page.go_back()
        expect(page.get_by_role("checkbox", name="Compare balloon", exact=True)).to_be_checked()


def press_a_key(page: Page) -> Callable[[], None]:
    page.get_by_role("checkbox", name="Compare balloon", exact=True).focus()
    page.keyboard.down("Space")
    return lambda: page.keyboard.up("Space")


def press_a_key_before_the_last_is_released(page: Page) -> Callable[[], None]:
    page.get_by_role("link", name="answers", exact=True).focus()
    page.keyboard.down("Tab")
    page.keyboard.down("Space")
    page.keyboard.up("Tab")
    return lambda: page.keyboard.up("Space")


def press_a_button_with_the_focus_elsewhere(page: Page) -> Callable[[], None]:
    page.get_by_label("Find").focus()
    page.get_by_role("checkbox", name="Compare balloon", exact=True).hover()
    page.mouse.down()
    return page.mouse.up


@pytest.mark.parametrize(
    "press",
    [press_a_key, press_a_key_before_the_last_is_released, press_a_button_with_the_focus_elsewhere],
)
def test_a_press_is_not_lost_when_the_page_refreshes_before_its_release(
    tab: Tab, api: FakeJobsApi, press: Callable[[Page], Callable[[], None]]
) -> None:
    with tab("?sort=name") as page:
        release = press(page)
        api.put(a_job("answers-2"))
        with page.expect_event("requestfinished"):
            page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        # The page has dealt with the refresh when a later request is answered.
        page.evaluate("fetch('.').then((answer) => answer.text())")
        release()

        expect(page.locator("#ticked")).to_contain_text("1 job ticked")
        expect(page.get_by_role("checkbox", name="Compare balloon", exact=True)).to_be_checked()
        expect(page.get_by_role("status")).to_have_text("Jobs: 11 jobs")


def test_a_selection_survives_filtering_and_refreshing(tab: Tab, api: FakeJobsApi) -> None:
    with tab() as page:
        page.get_by_role("checkbox", name="Compare balloon", exact=True).check()
        expect(page.locator("#ticked")).to_contain_text("1 job ticked")
        page.get_by_label("Find").fill("answers")
        expect(page.get_by_role("status")).to_have_text("Jobs: 1 of 10 jobs")
        api.put(a_job("answers-2"))
        expect(page.get_by_role("status")).to_have_text("Jobs: 2 of 11 jobs")

        page.get_by_role("checkbox", name="Compare answers", exact=True).check()

        page.get_by_role("button", name="Compare 2 jobs").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Compare 2 jobs")


def test_the_number_of_selected_jobs_is_limited_to_what_can_be_distinguished(tab: Tab) -> None:
    ticks = "&".join(f"job=research/{name}" for name in list(PHASES.values())[:6])
    with tab(f"?{ticks}") as page:
        expect(page.locator("#ticked")).to_contain_text("the most that can be compared")
        expect(page.get_by_role("checkbox", name="Compare balloon", exact=True)).to_be_disabled()
        page.get_by_role("checkbox", name="Compare charts", exact=True).uncheck()
        expect(page.get_by_role("checkbox", name="Compare balloon", exact=True)).to_be_enabled()


def test_a_long_list_is_paged_by_links(tab: Tab, api: FakeJobsApi) -> None:
    api.put(*(a_job(f"job-{number:04}", days_old=100) for number in range(990)))
    with tab("?sort=name") as page:
        expect(page.get_by_role("status")).to_have_text("Jobs: 1,000 jobs")
        assert len(names(page)) == 25
        page.get_by_role("link", name="Next").click()

        expect(page.get_by_text("26 to 50 of 1,000 jobs")).to_be_visible()
        expect(page.get_by_text("Page 2 of 40")).to_be_visible()
        assert page.evaluate("window.scrollY") == 0


def test_the_complete_list_works_without_a_script(tab: Tab) -> None:
    with tab("?", java_script_enabled=False) as page:
        page.get_by_label("Find").fill("research")
        page.get_by_role("checkbox", name="Succeeded").check()
        page.get_by_role("checkbox", name="Running").check()
        page.get_by_role("button", name="Apply").click()
        assert sorted(names(page)) == ["answers", "balloon"]

        page.get_by_role("columnheader", name="Job").get_by_role("link").click()
        assert names(page) == ["answers", "balloon"]
        page.get_by_role("columnheader", name="Job").get_by_role("link").click()
        assert names(page) == ["balloon", "answers"]

        page.get_by_role("checkbox", name="Compare balloon", exact=True).check()
        page.get_by_role("checkbox", name="Compare answers", exact=True).check()
        page.get_by_role("button", name="Compare", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Compare 2 jobs")
        page.get_by_role("link", name="Jobs", exact=True).click()
        expect(page.get_by_role("button", name="Compare 2 jobs")).to_be_visible()


def test_on_a_phone_every_value_is_shown_with_its_name(tab: Tab) -> None:
    with tab(viewport={"width": 360, "height": 740}) as page:
        row = page.get_by_role("row").filter(
            has=page.get_by_role("link", name="answers", exact=True)
        )
        for text in ("Qwen2.5-7B-Instruct", "Running", "50 %", "0.5", "12m30s", "3 days"):
            expect(row).to_contain_text(text)
        labels = row.locator("td.loss, td.eta").evaluate_all(
            "all => all.map(it => getComputedStyle(it, '::before').content)"
        )

    assert labels == ['"Loss"', '"Remaining"']


def test_a_job_is_refreshed_while_its_spec_is_open(tab: Tab, api: FakeJobsApi) -> None:
    with tab("?namespace=research&name=answers") as page:
        page.get_by_text("Spec").click()
        expect(page.locator("#spec pre")).to_be_visible()

        api.put(a_job("answers", phase="Succeeded"))

        expect(page.get_by_role("status")).to_have_text("answers: Succeeded")
        expect(page.locator("#spec pre")).to_be_visible()
