# SPDX-License-Identifier: Apache-2.0
"""The language of texts is plain technical English: the check of `make lint`, and its inputs."""

from pathlib import Path

import pytest

from repository import language
from repository.tracked import ROOT


def words_in(text: str, tmp_path: Path, name: str = "page.md") -> list[tuple[int, str]]:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    found = language.findings_in(language.prose_of(file), language.wordings())
    return [(each.line, each.words) for each in found]


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("The status says why.", "says"),
        ("Whoever creates pods can read it.", "Whoever"),
        ("The limit stands in the values.", "stands in"),
        ("The profiles lie in configs.", "lie in"),
        ("The next attempt goes on from there.", "goes on"),
        ("What trains went on.", "went on"),
        ("Resuming starts anew.", "anew"),
        ("It trains the whole model.", "whole"),
        ("It lets go of every GPU.", "lets go of"),
        ("A mistake is never retried.", "mistake"),
        ("Processes that have found together.", "found together"),
        ("The report lies beside the artifact.", "beside"),
        ("It can't be changed.", "can't"),
        ("All of it is gone.", "is gone"),
        ("The run has gone on.", "gone on"),
        ("It waits for ever.", "for ever"),
        ("Nobody knows why it failed.", "knows"),
        ("It ends of itself.", "of itself"),
        ("The table lists what becomes of it.", "what becomes of"),
    ],
)
def test_a_wording_of_the_table_is_found_in_a_page(
    sentence: str, words: str, tmp_path: Path
) -> None:
    assert words_in(f"# Title\n\n{sentence}\n", tmp_path) == [(3, words)]


def test_a_wording_across_a_line_break_is_found_at_its_first_line(tmp_path: Path) -> None:
    assert words_in("The run goes\non from there.\n", tmp_path) == [(1, "goes on")]


@pytest.mark.parametrize(
    "text",
    [
        "Write whole numbers.\n",
        "You may know it, and people say so.\n",
        "The asterisk matters; mistaken names are suggested.\n",
        "```\nfinetune says anew\n```\n",
        "The key `whole` is unknown.\n",
        "[a page](whole.md#what-it-says)\n",
        "<!-- alerts -->\n| what it says |\n<!-- end -->\n",
    ],
)
def test_code_links_generated_tables_and_other_words_are_ignored(text: str, tmp_path: Path) -> None:
    assert words_in(text, tmp_path) == []


def test_the_descriptions_of_a_crd_are_checked_and_trls_own_texts_are_not(tmp_path: Path) -> None:
    crd = """\
spec: # what it says
  description: Says it anew.
  image:
    description: >-
      The first line,
      the whole second.
    type: string
    # Generated from TRL's dataclasses
    description: The whole dataset.
    # End of what is generated
  last: {type: string, description: It is gone.}
"""

    assert words_in(crd, tmp_path, "crds/jobs.yaml") == [
        (2, "Says"),
        (2, "anew"),
        (6, "whole"),
        (11, "is gone"),
    ]


def test_of_a_source_the_strings_that_are_prose_are_read(tmp_path: Path) -> None:
    source = """\
import say
def tell(name: str) -> str:
    say("beside", f"{name}: the {says(name)} is "
        f"gone anew; {'nobody told' if name else ''}")
    return ("It lies "
            "in the store")
"""

    assert words_in(source, tmp_path, "src.py") == [
        (3, "anew"),
        (3, "is gone"),
        (4, "told"),
        (5, "lies in"),
    ]


def test_of_a_source_docstrings_and_comments_are_read_without_the_code_in_them(
    tmp_path: Path,
) -> None:
    source = """\
'What the module says.'
import say  # says `anew`
class Told:
    \'\'\'Waits for ever. `says` and `told
    anew` are names.

    Whoever reads it.
    \'\'\'
    whole: int = 0
    \'\'\'What becomes of
    it.\'\'\'
    said = 1  # noqa: S105 - nobody asks
"""

    assert words_in(source, tmp_path, "src.py") == [
        (1, "says"),
        (2, "says"),
        (4, "for ever"),
        (7, "Whoever"),
        (10, "What becomes of"),
        (12, "asks"),
    ]


@pytest.mark.parametrize(
    "literal",
    [
        "'said'",
        "'what-it-says anew'",
        r"r'(says|said) .* anew\b'",
        "'(?i)it says anew'",
        "'<p>it says</p>'",
        "'root = 1\\n# says anew'",
        "b'it says'",
    ],
)
def test_words_patterns_markup_and_code_in_strings_are_no_prose(
    literal: str, tmp_path: Path
) -> None:
    assert words_in(f"told = {literal}\n", tmp_path, "src.py") == []


def test_of_a_table_the_sentences_are_read_be_they_keys_or_values(tmp_path: Path) -> None:
    table = """\
# what it says
"leave it out: no key says it" = ["whole", "what_it_says"]
[texts.means]
anew = "write it anew"
beside = 1 # `told`, and asked
"""

    assert words_in(table, tmp_path, "words.toml") == [
        (1, "says"),
        (2, "says"),
        (4, "anew"),
        (5, "asked"),
    ]


def test_of_a_test_docstrings_and_comments_are_read_and_its_data_are_not() -> None:
    file = ROOT / "tests" / "repository" / "test_language.py"
    prose = language.prose_of(file).split("\n")
    data = next(n for n, line in enumerate(file.read_text().split("\n")) if "Whoever cr" in line)

    assert "plain technical English" in prose[1]
    assert prose[data] == ""


def test_all_texts_of_alerts_templates_and_scripts_are_read(tmp_path: Path) -> None:
    text = 'summary: It says so\n{{/* asks */}} message: "tells"\n// told\n'

    for name in ("files/alerts.yaml", "templates/policy.yaml", "_rights.tpl", "page.js"):
        assert words_in(text, tmp_path, name) == [
            (1, "says"),
            (2, "asks"),
            (2, "tells"),
            (3, "told"),
        ]


@pytest.mark.parametrize("name", ["job.yaml", "check.yml", "Makefile", "Dockerfile"])
def test_of_configs_workflows_and_build_files_the_comments_are_read(
    name: str, tmp_path: Path
) -> None:
    text = "says: 1 ## anew\n# It is `told` for good.\nrun: echo ${whole#told}\n"

    assert words_in(text, tmp_path, name) == [(1, "anew"), (2, "for good")]


def test_of_a_template_the_text_and_the_strings_of_expressions_are_read(tmp_path: Path) -> None:
    template = """\
{# What it says. #}
<p class="beside">{% if said %}It goes on{% endif %} {{ value or "nobody says" }}</p>
"""

    assert words_in(template, tmp_path, "page.html") == [(2, "goes on"), (2, "says")]


def test_the_comments_of_the_chart_values_are_checked(tmp_path: Path) -> None:
    assert words_in("# It says so.\nwhole: 1 # anew\n", tmp_path, "values.yaml") == [
        (1, "says"),
        (2, "anew"),
    ]


def test_the_help_of_every_command_is_checked() -> None:
    texts = dict(language.help_texts())

    assert {"finetune", "finetune validate", "kubectl finetune", "kubectl finetune plan"} <= set(
        texts
    )
    assert all(text.startswith(f"usage: {command} ") for command, text in texts.items())
    assert len(texts) > 14


def test_every_text_is_free_of_these_wordings_except_the_listed_pages() -> None:
    assert language.problems() == []


def test_every_listed_page_exists_and_is_checked() -> None:
    checked = {file.relative_to(ROOT).as_posix() for file in language.texts()}

    assert {"README.md", "docs/user/training.md", "crds/finetunejobs.yaml"} <= checked
    assert "charts/finetune-operator/values.yaml" in checked
    assert {
        "operator/src/finetune_operator/job/decide/decision.py",
        "job-spec/src/finetune_spec/config/suggest/words/other_tools.toml",
        "trainer-image/src/finetune_trainer/publication/report/templates/report.html",
        "testbed/src/testbed/demo.py",
    } <= checked
    assert {
        "Makefile",
        "Dockerfile",
        "pyproject.toml",
        ".github/workflows/test.yml",
        ".github/ISSUE_TEMPLATE/bug.yml",
        "configs/examples/queue.yaml",
        "docs/contributing/benchmarks.md",
        "docs/decisions/0001-hashed-requirements-instead-of-uv-lock.md",
    } <= checked
    assert {
        "charts/finetune-operator/files/alerts.yaml",
        "charts/finetune-operator/files/dashboard.json",
        "charts/finetune-operator/templates/_rights.tpl",
        "charts/finetune-operator/templates/admissionpolicy.yaml",
        "results-page/src/finetune_results_page/static/page.js",
        "testbed/README.md",
        "tests/trainer/kills.py",
    } <= checked
    assert "tests/repository/language.toml" not in checked
