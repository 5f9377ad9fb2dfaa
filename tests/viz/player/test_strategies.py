"""What the page computes, in the browser, against the truncated unrolling itself."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from tests.viz.models import parameter, value
from tests.viz.player.test_recording import attention
from viz.models import recurrent_loss

STEPS = 6
STRATEGIES: list[tuple[str, Callable[[Any], Any]]] = [
    ("#s=full", lambda xi: tg.Full()),
    ("#s=subsequence&k=1", lambda xi: tg.Subsequence(1)),
    ("#s=subsequence&k=4", lambda xi: tg.Subsequence(4)),
    ("#s=window&k=0", lambda xi: tg.Window(0)),
    ("#s=window&k=2", lambda xi: tg.Window(2)),
    ("#s=tbptt&k=2&k2=5", lambda xi: tg.TBPTT(2, 5)),
    ("#s=tbptt&k=3&k2=3", lambda xi: tg.TBPTT(3, 3)),
    ("#s=randomized&p=0.6&seed=4", tg.Randomized.from_links),
    ("#s=hand&cut=2,4", tg.Randomized.from_links),
]


def own_cell(truncation: Any = None) -> tg.Tensor:
    """A user's function with a loss of its own at every step."""
    rng = np.random.default_rng(1)
    w = tg.Tensor(rng.normal(size=(4, 4)) / 2, requires_grad=True, name="w")
    u = parameter("u", 4)
    xs = rng.normal(size=(STEPS, 3, 4))
    states, _ = tg.unroll(lambda x, s: np.sin(x * u + s @ w), xs, value("s_0", 3, 4), truncation)
    loss: Any = sum(tg.mse(s, np.ones((3, 4))) for s in states)
    return loss


def backwards(truncation: Any = None) -> tg.Tensor:
    """A sequence that is read from its end."""
    rng = np.random.default_rng(2)
    cell = tg.RNNCell(3, 4, rng=rng)
    xs = rng.normal(size=(STEPS, 2, 3))
    states, _ = tg.unroll(cell, xs, truncation=truncation, reverse=True)
    loss: Any = sum(tg.mse(h, np.ones((2, 4))) for h in states)
    return loss


MODELS: dict[str, Callable[..., tg.Tensor]] = {
    **{
        cell: lambda truncation=None, cell=cell: recurrent_loss(
            STEPS, cell=cell, bias=True, truncation=truncation
        )
        for cell in ("rnn", "lstm", "gru")
    },
    "two layers": lambda truncation=None: recurrent_loss(STEPS, layers=2, truncation=truncation),
    "a function": own_cell,
    "backwards": backwards,
}


def gradients(loss: tg.Tensor) -> dict[str, Any]:
    """By the letters of the name, as the page has them."""
    loss.backward()
    leaves = {n for n in tg.tape(loss) if getattr(n, "grad", None) is not None}
    return {"".join(c for c in leaf.name if c not in "_^"): leaf.grad for leaf in leaves}


@pytest.fixture
def compare(visit: Any) -> Callable[..., None]:
    def compared(make: Callable[..., tg.Tensor], strategies: Any) -> None:
        page = visit(viz.play(make()).html)
        for address, strategy in strategies:
            xi, found = page.evaluate(READ, address)
            expected = gradients(make(truncation=strategy(xi[1:])))
            assert found.keys() == expected.keys()
            for name, gradient in expected.items():
                tolerance = 1e-4 * np.abs(gradient).max()
                mine = np.reshape(found[name], gradient.shape)
                np.testing.assert_allclose(mine, gradient, atol=tolerance, err_msg=address)

    return compared


READ = """address => new Promise(done => {
    addEventListener("hashchange", () => done([
        player.strategy.links,
        Object.fromEntries(player.D.tied.map(p => {
            const name = player.D.names[p.n].map(([letters]) => letters).join("");
            return [name, [...player.parameterGradient(p)]];
        })),
    ]), { once: true });
    location.hash = address === location.hash ? address + "&" : address;
})"""


@pytest.mark.parametrize("name", MODELS)
def test_every_strategy_agrees_with_unroll(name: str, compare: Any) -> None:
    compare(MODELS[name], STRATEGIES)


def test_steps_that_are_read_backwards_keep_their_numbers(visit: Any) -> None:
    page = visit(viz.play(backwards()).html, "#f=2")
    assert page.inner_text("#now h2") == f"Forward, step {STEPS - 1}"
    assert page.locator('[aria-label="cut the link from step 6 to step 5"]').count() == 1
    assert page.text_content(".side-head").startswith("which loss reaches which stepl6l5l4l3l2l1")


def test_twenty_steps_agree(compare: Any) -> None:
    compare(
        lambda truncation=None: recurrent_loss(20, truncation=truncation),
        [STRATEGIES[0], STRATEGIES[4], STRATEGIES[7]],
    )


def test_where_m_does_not_apply_links_are_offered_and_it_says_why(visit: Any, compare: Any) -> None:
    links = [
        ("#s=full", lambda xi: tg.Full()),
        ("#s=subsequence&k=2", lambda xi: tg.Subsequence(2)),
        ("#s=randomized&seed=1", tg.Randomized.from_links),
        ("#s=hand&cut=2", tg.Randomized.from_links),
    ]
    compare(attention, links)
    page = visit(viz.play(attention()).html)
    assert page.locator("input[value=window]").is_disabled()
    assert page.locator("input[value=tbptt]").is_disabled()
    assert "step 3 also uses step 1" in page.inner_text("#says")
    assert page.locator("[data-link]").count() == 3
    page.locator("[data-link]").nth(1).dispatch_event("click")
    assert page.evaluate("[...player.state.cuts]") == [2]
    assert page.evaluate("player.strategy.links") == [1, 1, 0, 1]
