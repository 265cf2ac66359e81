"""What the documentation points at exists: its links, the files of its tables, and the options that it names."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from server.__main__ import cli

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("bench/*.md"), *ROOT.glob("web/*.md")])
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
OPTION = re.compile(r"\bSIGHTLINE_[A-Z_]*[A-Z]\b")
# Read by the tests, not by the command.
NOT_OF_UP = {"SIGHTLINE_FUZZ_SECONDS"}


def slug(heading: str) -> str:
    """The anchor that a heading gets where Markdown is shown."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(page):
    text = prose(page)
    assert text.startswith("#")
    missing = []
    for target in LINK.findall(text):
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        file = page if not parts.path else (page.parent / parts.path).resolve()
        if not file.exists():
            missing.append(target)
        elif parts.fragment and file.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", prose(file), re.MULTILINE)
            if parts.fragment not in {slug(heading) for heading in headings}:
                missing.append(target)
    assert missing == []


def test_what_one_may_want_to_change_is_where_the_table_says():
    _, _, rest = (ROOT / "README.md").read_text().partition("## I want to change")
    table = rest.partition("\n## ")[0]
    paths = [path for path in re.findall(r"`([^`]+)`", table) if "/" in path]
    assert len(paths) > 15
    web = [path for path in paths if not (ROOT / path).exists() and (ROOT / "web/src" / path).exists()]
    assert [path for path in paths if not (ROOT / path).exists() and path not in web] == []


def test_every_option_that_the_documentation_names_is_one():
    shown = CliRunner().invoke(cli, ["up", "--help"])
    assert shown.exit_code == 0
    known = set(OPTION.findall(re.sub(r"_\n\s+", "_", shown.output))) | NOT_OF_UP
    for page in PAGES:
        named = set(OPTION.findall(page.read_text()))
        assert named <= known, page


def test_every_option_of_up_that_the_documentation_spells_out_is_one():
    shown = CliRunner().invoke(cli, ["up", "--help"]).output
    options = set(re.findall(r"--[a-z][a-z-]+", shown))
    for page in PAGES:
        for command in re.findall(r"sightline up([^`\n]*)", page.read_text()):
            assert set(re.findall(r"--[a-z][a-z-]+", command)) <= options, (page, command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_that_is_named_from_the_root_exists(page):
    folders = "server|signaling|rtpfwd|ops|protos|tests|docs|bench|web/src"
    named = re.findall(rf"`((?:{folders})/[\w./-]+)`", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []
