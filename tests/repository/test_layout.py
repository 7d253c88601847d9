# SPDX-License-Identifier: Apache-2.0
"""Rules for the complete repository, enforced by tests."""

import re
from pathlib import Path

import pytest
import yaml

from repository import (
    chart_files,
    families_page,
    migration,
    monitoring,
    packages_page,
    reference,
    rooms_page,
)
from repository.locks import pinned
from repository.tracked import ROOT, tracked_files

DIRECTORIES = ROOT / "docs" / "contributing" / "targets.md"
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def test_operator_is_a_project_directory_and_never_a_package() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not (ROOT / "tests" / "operator" / "__init__.py").exists()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_locked_requirement_has_hashes_and_no_host(lock: Path) -> None:
    text = lock.read_text()

    assert "://" not in text
    assert "-e " not in text
    assert text.count("--hash=sha256:") >= len(pinned(lock)) > 0


def test_images_contain_the_versions_that_were_tested() -> None:
    tested = pinned(ROOT / "requirements" / "dev.txt")

    for name in ("operator.txt", "trainer.txt", "results-page.txt"):
        carried = pinned(ROOT / "requirements" / name)
        assert carried.items() <= tested.items()


def test_the_results_page_installs_no_cluster_client() -> None:
    carried = pinned(ROOT / "requirements" / "results-page.txt")

    assert "aiohttp" in carried
    assert not carried.keys() & {"kopf", "kubernetes", "cryptography", "prometheus-client"}


def test_the_image_for_older_drivers_differs_only_in_torch() -> None:
    newest, older = (
        pinned(ROOT / "requirements" / f"{name}.txt") for name in ("trainer", "trainer-cuda12")
    )
    differs = {name for name, _ in newest.items() ^ older.items()}

    assert {"torch", "triton"} <= differs
    # setuptools: only the newer torch requires it.
    assert all(
        name.startswith(("nvidia-", "cuda-"))
        for name in differs - {"torch", "triton", "setuptools"}
    )
    assert {name for name in older if name.endswith("-cu12")} >= {"nvidia-nccl-cu12"}


def test_every_makefile_target_has_a_line_of_help() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)$", text, re.MULTILINE)
    assert phony is not None
    targets = phony.group(1).replace("\\\n", " ").split()

    without_help = [t for t in targets if not re.search(rf"^{t}:.*## \S", text, re.MULTILINE)]
    assert without_help == []


def test_the_contributor_page_lists_every_directory() -> None:
    page = DIRECTORIES.read_text()
    folders = {file.relative_to(ROOT).parts[0] for file in tracked_files() if file.parent != ROOT}

    assert [f for f in sorted(folders) if not f.startswith(".") and f"`{f}/`" not in page] == []


def test_the_architecture_page_lists_every_room_with_its_law() -> None:
    page = rooms_page.PAGE.read_text()

    assert page == rooms_page.with_rooms(page), "run make generate"
    assert page.count("| `") > 20
    assert rooms_page.rooms_without_door() == []
    assert rooms_page.doors_that_are_not_there() == []


def test_chart_manifests_and_reference_match_what_make_generate_writes() -> None:
    files = chart_files.files() | reference.files()

    assert {path: path.read_text() for path in files} == files, "run make generate"


def test_the_migration_tables_match_the_checks() -> None:
    page = migration.PAGE.read_text()

    assert page == migration.with_tables(page), "run make generate"
    assert page.count("| the same |") > 10


def test_the_packages_page_matches_the_table_of_checks_and_trainer() -> None:
    page = packages_page.PAGE.read_text()

    assert page == packages_page.with_tables(page), "run make generate"


def test_the_training_page_lists_every_model_family_as_measured() -> None:
    page = families_page.PAGE.read_text()

    assert page == families_page.with_tables(page), "run make generate"
    assert "| kept apart | " in page


def test_the_monitoring_page_lists_every_metric_and_alert() -> None:
    page = monitoring.PAGE.read_text()

    assert page == monitoring.with_tables(page), "run make generate"
    assert "`finetune_operator_leader`" in page
    assert "`FinetuneJobIsSilent`" in page


def test_no_file_names_a_package_index_or_a_local_path() -> None:
    """Package indexes and local paths are settings of the machine."""
    index = r"index-url|find-links|GOPROXY=|registry=http|^deb http"
    machine = "|".join(re.escape(f"{place}/") for place in (ROOT, Path.home()))
    forbidden = re.compile(rf"{index}|(?<![\w$}}]){machine}", re.MULTILINE)
    this = Path(__file__)

    found = [
        f"{file.relative_to(ROOT)}: {match.group()}"
        for file in tracked_files()
        if file != this and (match := forbidden.search(file.read_text(errors="replace")))
    ]
    assert found == []


def test_no_source_file_is_too_long() -> None:
    long = [
        f"{file.relative_to(ROOT)}: {lines} lines"
        for file in tracked_files()
        if file.suffix == ".py" and (lines := len(file.read_text().splitlines())) > 400
    ]
    assert long == []


@pytest.mark.parametrize(
    "file",
    sorted((ROOT / "configs").rglob("*.yaml")),
    ids=lambda file: str(file.relative_to(ROOT / "configs")),
)
def test_every_config_is_yaml(file: Path) -> None:
    assert [document for document in yaml.safe_load_all(file.read_text()) if document]
