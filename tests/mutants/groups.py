"""What is mutated, and the tests that are asked about it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def files(*patterns: str) -> list[str]:
    found = {path.relative_to(ROOT).as_posix() for p in patterns for path in ROOT.glob(p)}
    return sorted(found)


WITHOUT_PYTORCH = "-knot torch"
"""Each mutant's fork would import PyTorch anew, which takes seconds."""

GROUPS: dict[str, tuple[list[str], list[str]]] = {
    "derivatives": (
        files("tinygrad_rnn/derivatives/*.py"),
        [
            "tests/derivatives/test_calls.py",
            "tests/derivatives/test_compiled.py",
            "tests/derivatives/test_conventions.py",
            "tests/derivatives/test_edges.py",
            "tests/derivatives/test_dask.py",
            "tests/derivatives/test_functions.py",
            "tests/derivatives/test_indexing.py",
            "tests/derivatives/test_linalg.py",
            "tests/derivatives/test_options.py",
            "tests/derivatives/test_products.py",
            "tests/derivatives/test_protocols.py",
            "tests/derivatives/test_properties.py",
            "tests/derivatives/test_table.py",
            "tests/derivatives/test_without_derivative.py",
            "tinygrad_rnn/derivatives",
        ],
    ),
    "reverse pass": (
        [
            f"tinygrad_rnn/{name}.py"
            for name in (
                "engine/backward",
                "engine/fast_backward",
                "engine/fit",
                "engine/gradients",
                "engine/substitution",
                "engine/transforms",
                "support/fast_sums",
            )
        ],
        [
            "tests/analysis/test_anomaly.py",
            "tests/engine/test_backward.py",
            "tests/support/test_fast_sums.py",
            "tests/engine/test_table.py",
            "tests/engine/test_tensor.py",
            "tests/engine/test_transforms.py",
            "tests/derivatives/test_properties.py",
            "tests/test_bad_input.py",
            "tinygrad_rnn/engine",
        ],
    ),
    "truncations": (
        [f"tinygrad_rnn/recurrent/{name}.py" for name in ("truncation", "randomized", "strategy")],
        [
            "tests/recurrent/test_strategy.py",
            "tests/recurrent/test_stream.py::test_one_link_too_many",
            "tests/recurrent/test_stream.py::test_messages",
            "tests/recurrent/test_truncation.py",
            "tinygrad_rnn/recurrent",
        ],
    ),
    "passes": (
        [
            *files("tinygrad_rnn/compiler/passes/*.py"),
            "tinygrad_rnn/compiler/ir/graph.py",
            "tinygrad_rnn/compiler/allocate.py",
            "tinygrad_rnn/compiler/coalesce.py",
            "tinygrad_rnn/compiler/liveness.py",
        ],
        [
            "tests/compiler/ir/test_graph.py",
            "tests/compiler/passes",
            "tests/compiler/test_allocate.py",
            "tests/compiler/test_coalesce.py",
            "tests/compiler/test_liveness.py",
            "tests/compiler/test_golden.py",
            "tests/compiler/test_one_row.py::test_only_small_matrices_are_joined",
            "tests/compiler/test_one_row.py::test_users_cells",
            "tests/compiler/test_one_row.py::test_vectors",
            "tests/compiler/test_pipeline.py",
            "tests/compiler/test_stages.py::test_the_same_numbers_after_every_pass",
            "tests/compiler/test_stages.py::test_nothing_is_read_before_it_is_written",
        ],
    ),
    "training": (
        [
            f"tinygrad_rnn/training/{name}.py"
            for name in (
                "losses",
                "optimizers",
                "clipping",
                "schedules",
                "bidirectional",
                "cell_with_loss",
                "nesting",
            )
        ],
        [
            WITHOUT_PYTORCH,
            "tests/derivatives/test_functions.py",
            "tests/recurrent/test_layers.py",
            "tests/test_bad_input.py::test_numbers_of_the_optimizers",
            "tests/test_bad_input.py::test_targets_and_losses",
            "tests/training/test_bptt.py",
            "tests/training/test_checkpoints.py::test_a_resumed_run_ends_with_the_same_bits",
            "tests/training/test_checkpoints.py::test_a_run_that_does_not_fit",
            "tests/training/test_checkpoints.py::test_values_come_back_as_they_were",
            "tests/training/test_checkpoints.py::test_what_cannot_be_saved_says_where_it_is",
            "tests/training/test_optimizers.py",
            "tinygrad_rnn/training",
        ],
    ),
    "sequences": (
        [
            f"tinygrad_rnn/recurrent/{name}.py"
            for name in ("unroll", "stream", "lengths", "order", "state")
        ],
        [
            f"{WITHOUT_PYTORCH} and not memory",
            "tests/recurrent/test_lengths.py",
            "tests/recurrent/test_order.py",
            "tests/recurrent/test_state.py",
            "tests/recurrent/test_stream.py",
            "tests/recurrent/test_truncation.py",
            "tests/recurrent/test_unroll.py",
            "tests/test_bad_input.py",
            "tinygrad_rnn/recurrent",
        ],
    ),
}
