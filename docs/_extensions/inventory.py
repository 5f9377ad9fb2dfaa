"""An inventory for intersphinx, from a short list of the names that this site refers to."""

from __future__ import annotations

import zlib
from pathlib import Path


def write_inventory(listed: Path) -> str:
    """Write the list `name domain:role address`, one a line, in Sphinx's format (version 2).

    Returns the path of the file, which lies beside the built site.
    """
    rows = [line.split() for line in listed.read_text(encoding="utf-8").splitlines() if line]
    body = "".join(f"{name} {role} 1 {address} -\n" for name, role, address in rows)
    head = f"# Sphinx inventory version 2\n# Project: {listed.stem}\n# Version: \n"
    head += "# The remainder of this file is compressed using zlib.\n"
    target = listed.parent.parent / "_build" / "inventories" / f"{listed.stem}.inv"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(head.encode() + zlib.compress(body.encode()))
    return str(target)
