"""No read and no write outside of an array."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("llvmlite")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pages are guarded in another way")


PROGRAMS = (
    *("rnn_one_row", "vector_state", "window_lstm", "einsum", "attention", "resets", "layer_norm"),
    *("wide_float32", "wide_gru_float32", "wide_loss_float32", "wide_loss_one_row_float64"),
    "of_functions",
)
"""Between them they have every kind of loop; without names the script goes through all."""


def test_programs_touch_their_arrays_alone():
    command = [sys.executable, "-m", "tests.compiler.native.guarded", *PROGRAMS]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr[-2000:] or f"ended by signal {-done.returncode}"
    assert "nothing beside" in done.stdout


@pytest.mark.parametrize("beside", [-1, 10])
def test_the_walls_hold(beside):
    script = (
        "import ctypes, numpy as np\n"
        "from tests.compiler.native.guarded import Walls\n"
        f"array = Walls({beside > 0}).empty((10,), np.float32)\n"
        "array[:] = 1\n"
        f"ctypes.c_float.from_address(array.ctypes.data + 4 * {beside}).value\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode < 0
