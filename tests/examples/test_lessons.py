"""The lessons, in their small versions: what they promise is what they find."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import tinygrad_rnn as tg

pytest.importorskip("matplotlib")


def lesson(name, out):
    return importlib.import_module(f"examples.lesson_{name}").main(out, small=True)


def test_1_by_hand(tmp_path):
    assert lesson("1_by_hand", tmp_path) < 1e-15


def test_a_lesson_is_a_program(tmp_path, monkeypatch, capsys):
    from examples import lesson_7_powers_of_a_matrix as module
    from examples.lesson import run

    monkeypatch.setattr("sys.argv", ["lesson", "--small", "--out", str(tmp_path / "new")])
    run(module.main, module.__doc__)
    assert "|λ_2/λ_1| = 0.8" in capsys.readouterr().out
    assert (tmp_path / "new" / "lesson-7-directions.png").exists()
    monkeypatch.setattr("sys.argv", ["lesson", "--help"])
    with pytest.raises(SystemExit):
        run(module.main, module.__doc__)
    assert "the angle between the gradient and v_1" in capsys.readouterr().out


def test_2_vanishing_and_exploding(tmp_path):
    found = lesson("2_vanishing_and_exploding", tmp_path)
    assert found["number, 0.9"].last == pytest.approx(0.9**100)
    assert found["number, 1.1"].last == pytest.approx(1.1**100)
    jordan = found["Jordan block, ρ = 0.9"]
    assert jordan.kind == "vanishing" and jordan.peak_lag == 9
    assert jordan.peak == pytest.approx(3.9, abs=0.05)
    assert all(found[cell].last < 1e-17 for cell in ("RNN", "LSTM", "GRU"))
    assert found["LSTM, forget bias 2"].last > 0.05
    assert {path.name for path in tmp_path.iterdir()} == {
        "lesson-2-powers.png",
        "lesson-2-cells.png",
    }


def test_4_influence_balancing(tmp_path):
    assert lesson("4_influence_balancing", tmp_path) == {
        "Subsequence(10)": "diverges",
        "Subsequence(200)": "converges",
        "Window(0)": "diverges",
        "Randomized.scheduled(6, 16, 0)": "converges",
    }


def test_4_a_window_has_the_right_sign_from_40_links_on():
    from examples.lesson_4_influence_balancing import SIGN, A, n

    theta, T = tg.Tensor(0.5, requires_grad=True), 64
    for k in range(T - 1):
        xi = np.ones(T - 1)
        xi[T - 2 - k] = 0  # for the last loss, a window of k links
        cut = tg.Randomized.from_links(xi)
        _, s = tg.unroll(lambda _, s: A @ s + theta * SIGN, np.zeros(T), np.ones(n), cut)
        slope = tg.gradients(s[0], [theta])[0]  # in the long run it is −6
        assert (slope < 0) == (k >= 40)


def test_3_three_strategies(tmp_path):
    found = lesson("3_three_strategies", tmp_path)
    for rows in found.values():
        assert rows["Full()"] == pytest.approx({"bias": 0, "noise": 0, "error": 0}, abs=1e-14)
        for strategy, row in rows.items():
            if "Randomized" in strategy:
                assert row["bias"] < 0.1 * row["noise"]
            else:
                assert row["noise"] < 1e-14
    forgets, remembers = (found[name]["Window(k=8)"]["bias"] for name in found)
    assert forgets < 0.02 and remembers > 5 * forgets
    assert found["remembers"]["Subsequence(k=8)"]["bias"] > 0.2
    assert (tmp_path / "lesson-3-strategies.png").exists()


def test_7_powers_of_a_matrix(tmp_path):
    assert lesson("7_powers_of_a_matrix", tmp_path) == pytest.approx([0.8] * 3, abs=1e-3)


def test_5_what_truncation_forgets(tmp_path):
    found = lesson("5_what_truncation_forgets", tmp_path)
    assert found["shares"]["RNN"][10] <= 0.25 and found["shares"]["RNN"][20] >= 0.75
    assert found["adding"][16][-1] < 0.02


def test_6_clipping(tmp_path):
    found = lesson("6_clipping", tmp_path)
    assert found["no clipping"]["longest step"] > 4
    assert found["no clipping"]["final loss"] > 0.08
    assert found["norm clipped at 0.1"]["longest step"] <= 0.2 + 1e-12
    assert found["norm clipped at 0.1"]["largest gradient"] > 100
    assert found["norm clipped at 0.1"]["final loss"] < 1e-5


def test_8_encoder_decoder(tmp_path):
    assert lesson("8_encoder_decoder", tmp_path) > 0.8
    assert (tmp_path / "lesson-8-attention.png").exists()


def test_8_attention_is_compiled_once_and_its_gradients_reach_the_encoder():
    from examples.lesson_8_encoder_decoder import LONGEST, Model, rows

    rng = np.random.default_rng(0)
    model = Model(rng)
    digits, answers, lengths = rows(16, rng)
    loss = model.train_on(digits, answers, lengths)
    model.train_on(*rows(16, rng))
    assert len(model.bptt.ready) == 1
    parameters = tg.parameters(model)
    assert len(parameters) == 15 and all(p.grad.any() for p in parameters.values())
    for parameter in parameters.values():
        parameter.grad = None
    assert model.train_on(digits, answers, lengths) == loss
    found = {name: parameter.grad for name, parameter in parameters.items()}
    for parameter in parameters.values():  # each row by itself, step by step
        parameter.grad = None
    total = 0.0
    for b, n in enumerate(lengths):
        one = slice(b, b + 1)
        h = model.encode(digits[:n, one], lengths[one])
        for t in range(n + 1):
            before = answers[t - 1, one] if t else np.array([10])
            h = model.decoder(before, h)
            total = total + np.sum(model.decoder.loss(h, answers[t, one]))
    (total / np.sum(lengths + 1)).backward()
    for name, parameter in parameters.items():
        np.testing.assert_allclose(found[name], parameter.grad, rtol=0, atol=2e-6, err_msg=name)
    assert len(digits) == LONGEST
