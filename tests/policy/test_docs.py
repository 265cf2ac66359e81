"""The policy that docs/policies.md writes from scratch works as the page says."""

from __future__ import annotations

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/policies.md"


def test_the_page_does_what_it_says():
    # Fences would count as expected output.
    text = "\n".join("" if line.startswith("```") else line for line in PAGE.read_text().splitlines())
    examples = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    assert len(examples.examples) > 15
    told: list[str] = []
    results = doctest.DocTestRunner(verbose=False).run(examples, out=told.append)
    assert results.failed == 0, "".join(told)
