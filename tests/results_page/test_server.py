# SPDX-License-Identifier: Apache-2.0
"""The page's server over HTTP, with a fake API server: its reads and its responses."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from finetune_results_page import reading
from support.fake_jobs_api import LISTER, PREFIX, READER, FakeJobsApi, served_page
from support.listed_jobs import a_job


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    text: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Site:
    url: str
    api: FakeJobsApi

    def get(self, address: str, token: str | None = READER) -> Answer:
        headers = {} if token is None else {"Authorization": token}
        request = Request(f"{self.url}/{address}", headers=headers)
        try:
            with urlopen(request, timeout=60) as answer:
                return Answer(answer.status, answer.read().decode(), dict(answer.headers))
        except HTTPError as refusal:
            return Answer(refusal.code, refusal.read().decode(), dict(refusal.headers))


@pytest.fixture
def site() -> Iterator[Site]:
    api = FakeJobsApi()
    with served_page(api) as url:
        yield Site(url, api)


def test_the_list_works_without_a_script(site: Site) -> None:
    site.api.put(a_job("balloon"), a_job("kite", phase="Failed"))

    page = site.get("?q=ball").text

    assert 'href="?namespace=research&amp;name=balloon"' in page
    assert "kite" not in page
    assert "1 of 2 jobs" in page
    assert page.count('class="spark"') == 1


@pytest.mark.parametrize("address", ["?", "?namespace=research&name=balloon", "?view=compare"])
def test_nothing_is_readable_without_a_token(site: Site, address: str) -> None:
    site.api.put(a_job("balloon"))

    answer = site.get(address, token=None)

    assert not any(text in answer.text for text in ("Running", "12m30s", "Qwen", "s3://"))
    assert "data-sign-in" in answer.text
    assert site.api.asked == []


def test_a_token_refused_by_the_api_server_is_refused_with_its_message(site: Site) -> None:
    answer = site.get("?", token="Bearer wrong")

    assert answer.status == 401
    assert "Unauthorized" in answer.text


def test_a_user_who_may_list_but_not_get_sees_the_list_without_curves(site: Site) -> None:
    site.api.put(a_job("balloon"))

    listed = site.get("?", token=LISTER)
    compared = site.get("?view=compare&job=research/balloon&job=research/kite", token=LISTER)
    job = site.get("?namespace=research&name=balloon", token=LISTER)

    assert (listed.status, compared.status, job.status) == (200, 200, 403)
    assert "balloon" in listed.text
    assert 'class="spark"' not in listed.text
    assert compared.text.count("lister&quot; cannot get resource") == 2
    assert "lister&quot; cannot get resource" in job.text


def test_a_missing_job_does_not_prevent_comparing_the_others(site: Site) -> None:
    site.api.put(a_job("balloon"), a_job("kite", config={"learning_rate": 1e-4}))

    page = site.get("?view=compare&job=research/balloon&job=research/gone&job=research/kite").text

    assert "Compare 2 jobs" in page
    assert "research/gone: " in page
    assert "learning_rate" in page


@pytest.mark.parametrize(
    "address",
    [
        "?namespace=..%2f..%2fapi",
        "?namespace=team&name=..%2f..%2fsecrets",
        "?namespace=team&name=mine%3fwatch=1",
        "?namespace=team%00",
        "?namespace=team%0d%0aX-Forged:%20yes",
        "?namespace=%ff",
        "?view=compare&job=team/..%2fsecrets",
    ],
)
def test_only_jobs_can_be_requested(site: Site, address: str) -> None:
    answer = site.get(address)

    assert answer.status == 400
    assert re.search(r"is not the name of a namespace or a job", answer.text)
    assert site.api.asked == []


@pytest.mark.parametrize(
    "address", ["", "page.js", "page.css", "?namespace=A", "nothing", "healthz"]
)
def test_every_answer_forbids_foreign_code_and_frames(site: Site, address: str) -> None:
    headers = site.get(address).headers

    policy = dict(it.split(" ", 1) for it in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {policy[it] for it in ("script-src", "style-src", "connect-src", "form-action")} == {
        "'self'"
    }
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_long_list_is_read_in_chunks_up_to_a_limit(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "CHUNK", 100)
    monkeypatch.setattr(reading, "LISTED", 1000)
    site.api.put(*(a_job(f"job-{number:05}") for number in range(1100)))

    page = site.get("?sort=name").text

    lists = [it for it in site.api.asked if it.startswith(f"{PREFIX}/finetunejobs?")]
    assert len(lists) == 10
    assert "There are more jobs than the 1,000 listed here." in page
    assert "1 to 25 of 1,000 jobs" in page
    assert len(site.api.asked) - len(lists) == 25
    assert len(page) < 200_000
    assert 'data-refresh="30"' in page


def test_curves_are_read_only_for_the_jobs_on_the_page_that_have_any(site: Site) -> None:
    site.api.put(*(a_job(f"job-{number:03}") for number in range(100)))
    site.api.put(a_job("aaa", phase="Queued", progress={}, lossHistory=[]))

    site.get("?sort=name")

    single = [it.rsplit("/", 1)[1] for it in site.api.asked if "?" not in it]
    assert sorted(single) == [f"job-{number:03}" for number in range(24)]


def test_one_unreadable_job_does_not_change_the_list(site: Site) -> None:
    site.api.put(a_job("balloon"), a_job("kite"))
    path = f"{PREFIX}/namespaces/research/finetunejobs/kite"
    site.api.answers[path] = b'{"spec": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"

    listed, job = site.get("?"), site.get("?namespace=research&name=kite")

    assert (listed.status, listed.text.count('class="spark"')) == (200, 1)
    assert job.status == 502
    assert "cannot be read" in job.text


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"rows": 7}'])
def test_an_answer_that_is_not_a_list_causes_no_crash(site: Site, body: bytes) -> None:
    site.api.answers[f"{PREFIX}/finetunejobs"] = body

    answer = site.get("?")

    assert answer.status in {200, 502}
    assert "Internal Server Error" not in answer.text
