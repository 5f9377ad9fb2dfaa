"""The site's own extensions, which lie beside its pages."""

import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS / "_extensions"))
try:
    import derivatives_page
    import docstrings
finally:
    sys.path.pop(0)

__all__ = ["DOCS", "derivatives_page", "docstrings"]
