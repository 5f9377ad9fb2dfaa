"""Pages that are made from the program: the table of derivatives."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def write(app: Any) -> None:
    from derivatives_page import page

    target = Path(app.srcdir) / "reference" / "derivatives.md"
    text = page()
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        target.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
