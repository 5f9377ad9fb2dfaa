"""Python blocks of the site that its build does not run."""

import re

import pytest

from tests.docs.extensions import DOCS

BLOCKS = [
    pytest.param(text, id=f"{page.relative_to(DOCS)}-{n}")
    for page in sorted(DOCS.rglob("*.md"))
    if "_build" not in page.parts
    for n, text in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S))
]


@pytest.mark.parametrize("text", BLOCKS)
def test_block(text):
    if "import torch" in text:
        pytest.importorskip("torch")
    if "import " not in text:  # a part of a program that is shown, not one to run
        compile(text, "block", "exec")
        return
    exec(compile(text, "block", "exec"), {})
