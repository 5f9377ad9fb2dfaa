"""Shards of a batch by the processes of MPI, where mpi4py and mpiexec are installed."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

BESIDE = Path(sys.executable).with_name("mpiexec")
MPIEXEC = str(BESIDE) if BESIDE.exists() else shutil.which("mpiexec")

STEP = """
import numpy as np, tinygrad_rnn as tg
from mpi4py.futures import MPIPoolExecutor

if __name__ == "__main__":
    rng = np.random.default_rng(0)
    bptt = tg.BPTT(tg.RNNCell(3, 4, rng=0), tg.mse)
    xs, targets = rng.normal(size=(5, 6, 3)), rng.normal(size=(5, 6, 4))
    loss, _ = bptt(xs, targets)
    expected = bptt.cell.W_hh.grad
    bptt.cell.W_hh.grad = None
    with MPIPoolExecutor() as executor:
        assert executor.num_workers == 2
        found, _ = tg.data_parallel(bptt, tg.split_batch(3, xs, targets), executor)
    np.testing.assert_allclose(found, loss, rtol=1e-13)
    np.testing.assert_allclose(bptt.cell.W_hh.grad, expected, rtol=0, atol=1e-14)
    print("equal")
"""


@pytest.mark.skipif(find_spec("mpi4py") is None or MPIEXEC is None, reason="needs MPI")
def test_the_processes_of_mpi_are_an_executor(tmp_path):
    (tmp_path / "step.py").write_text(STEP)
    run = [MPIEXEC, "-n", "3", sys.executable, "-m", "mpi4py.futures", tmp_path / "step.py"]
    # OpenMPI's: more processes than cores, also for root, as in a container.
    allowed = dict.fromkeys(("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"), "1")
    allowed |= {"PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}
    path = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        run, env={**os.environ, **allowed, "PYTHONPATH": path}, capture_output=True, timeout=100
    )
    assert done.stdout == b"equal\n", done.stderr.decode()
