# SPDX-License-Identifier: Apache-2.0
"""The source of the documents' site; `test_site.py` builds it."""

import re
import sys
from pathlib import PurePosixPath

import pytest

from finetune_contract.notes import NoteReason
from finetune_contract.reasons import Reason
from finetune_operator.objects.names import JobReason
from repository.tracked import ROOT

sys.path.insert(0, str(ROOT / "docs" / "site"))
import source

DOCS = ROOT / "docs"
DOCUMENTS = sorted(path for path in source.tracked_files() if path.match("docs/**/*.md"))
PAGES = source.pages(source.tracked_files())
NAMED_IN_PAGES = {*Reason, *NoteReason, *JobReason}
CAMEL_CASE = re.compile(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`")


def in_navigation() -> list[str]:
    text = source.configuration(source.tracked_files()).partition("\nnav:\n")[2]
    return re.findall(r"(\S+\.md)$", text, re.MULTILINE)


def test_every_document_is_in_the_navigation_once() -> None:
    listed = [f"docs/{name}" for name in in_navigation()]

    assert len(listed) == len(set(listed))
    assert {str(path) for path in PAGES if not path.is_relative_to(source.COPIES)} <= set(listed)


def test_every_entry_of_the_navigation_is_a_page() -> None:
    assert {f"docs/{name}" for name in in_navigation()} - {str(path) for path in PAGES} == {
        "docs/decisions/index.md"
    } - {str(path) for path in PAGES}


@pytest.mark.parametrize(
    ("page", "link", "rewritten"),
    [
        ("docs/user/memory.md", "failures.md#a", "failures.md#a"),
        ("docs/user/memory.md", "../images/a.png", "../images/a.png"),
        ("docs/user/memory.md", "https://example.com/a.md", "https://example.com/a.md"),
        ("docs/user/memory.md", "#here", "#here"),
        (
            "docs/user/memory.md",
            "../../configs/helm/strict.yaml",
            "../repository/configs/helm/strict.yaml.md",
        ),
        ("docs/index.md", "../CHANGELOG.md#a", "repository/CHANGELOG.md#a"),
        (
            "docs/index.md",
            "../.github/workflows/release.yml",
            "repository/github/workflows/release.yml.md",
        ),
        ("docs/index.md", "../configs/helm", "repository/configs/helm/index.md"),
        ("docs/index.md", "../configs/argocd", "repository/configs/argocd/README.md"),
        ("docs/index.md", "decisions", "decisions/index.md"),
        ("CHANGELOG.md", "docs/user/memory.md#a", "../user/memory.md#a"),
        ("charts/finetune-operator/README.md", "../../docs/concepts.md", "../../../concepts.md"),
        ("configs/argocd/README.md", "../../LICENSE", "../../LICENSE.md"),
    ],
)
def test_a_link_points_to_the_page_of_the_site(page: str, link: str, rewritten: str) -> None:
    text = f"See [it]({link}), `[code]`."

    written = source.with_links_of_the_site(text, PurePosixPath(page))

    assert written == text.replace(link, rewritten)


def test_files_that_documents_link_to_are_pages() -> None:
    shown = PAGES[source.COPIES / "configs" / "helm" / "strict.yaml.md"]

    assert "\n````yaml\n" in shown
    assert (ROOT / "configs" / "helm" / "strict.yaml").read_text() in shown
    assert source.COPIES / "CHANGELOG.md" in PAGES


def test_a_directory_link_becomes_a_list_of_its_files() -> None:
    helm = PAGES[source.COPIES / "configs" / "helm" / "index.md"]
    decisions = PAGES[source.DOCS / "decisions" / "index.md"]

    assert "- [strict.yaml](strict.yaml.md)" in helm
    assert "- [2. No finalizer on FineTuneJob](0002-no-finalizer.md)" in decisions


def test_pages_that_repeat_others_are_excluded_from_the_search() -> None:
    unsearched = {str(path) for path, text in PAGES.items() if text.startswith("---\nsearch:")}

    assert "docs/contributing/proofs.md" in unsearched
    assert "docs/repository/configs/helm/strict.yaml.md" in unsearched
    assert not unsearched & {"docs/user/failures.md", "docs/repository/CHANGELOG.md"}


@pytest.mark.parametrize("name", ["troubleshooting", "did-it-work"])
def test_a_page_names_only_reasons_that_exist(name: str) -> None:
    named = set(CAMEL_CASE.findall((DOCS / "user" / f"{name}.md").read_text()))
    # Phases, conditions and API objects are in their own tables.
    others = {"FineTuneJob", "AdapterVerified", "CheckpointsSaved", "NetworkPolicy"}

    assert named - others <= set(NAMED_IN_PAGES)
    assert len(named & set(NAMED_IN_PAGES)) > 10


def test_the_results_page_documentation_describes_every_note() -> None:
    page = (DOCS / "user" / "did-it-work.md").read_text()

    assert [reason for reason in NoteReason if f"`{reason}`" not in page] == []
