"""No read and no write outside of an array."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("llvmlite")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pages are guarded in another way")


def test_every_program_touches_its_arrays_alone():
    command = [sys.executable, "-m", "tests.compiler.native.guarded"]
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
