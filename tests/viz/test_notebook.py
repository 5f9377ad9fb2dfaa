"""Pictures and plots in a fresh notebook kernel, where nobody has imported anything of theirs."""

import os
from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")

SHOWN = {
    "tg.analysis.plot_lags({'0.9^k': 0.9 ** np.arange(30)})": "image/png",
    "tg.analysis.plot_steps({'full': 0.8 ** np.arange(20)})": "image/png",
    "tg.analysis.plot_pairs({'full': tg.Full().weights(4)})": "image/png",
    "viz.draw(recurrent_loss(2))": "image/svg+xml",
    "viz.animate(recurrent_loss(2))": "image/svg+xml",
    "viz.play(recurrent_loss(2))": "text/html",
}
BEGINNING = """import numpy as np, tinygrad_rnn as tg, viz
from viz.models import recurrent_loss"""


def test_everything_shows_itself() -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in [BEGINNING, *SHOWN]]
    notebook = nbformat.v4.new_notebook(cells=cells)
    root = Path(__file__).parents[2]
    nbclient.NotebookClient(
        notebook, kernel_name="python3", resources={"metadata": {"path": root}}
    ).execute(env={**os.environ, "PYTHONPATH": str(root)})
    assert notebook.cells[0].outputs == []
    for cell, kind in zip(notebook.cells[1:], SHOWN.values(), strict=True):
        (output,) = cell.outputs
        assert output.output_type == "execute_result" and kind in output.data, cell.source
        assert len(_as_text(output.data["text/plain"]).splitlines()) == 1


def _as_text(lines: Any) -> str:
    return lines if isinstance(lines, str) else "".join(lines)
