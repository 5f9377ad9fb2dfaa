"""Programs that nobody thought of: random loops of random operations are drawn soundly too."""

import random
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from tests.viz.models import parameter, value
from tests.viz.reading import read
from tests.viz.soundness import check
from tests.viz.test_geometry import inside

OPERATIONS = (
    lambda a, b: a * b,
    lambda a, b: a + b,
    lambda a, b: np.tanh(a),
    lambda a, b: np.sin(a) - b,
)


def program(seed: int) -> Any:
    """A loop over steps, marked or not, whose body combines parameters, states and inputs."""
    draw = random.Random(seed)
    parameters = [parameter(f"W_{k}", 2) for k in range(draw.randint(1, 4))]
    states = [value(f"s_0^({k})", 2) for k in range(draw.randint(1, 2))]
    body = [
        (draw.choice(OPERATIONS), draw.randrange(100), draw.randrange(100), draw.random() < 0.45)
        for _ in range(draw.randint(2, 9))
    ]
    marked = draw.random() < 0.8
    total: Any = np.sum(parameters[0])
    for t in range(1, draw.randint(2, 5)):
        with tg.step(t) if marked else tg.scope("unmarked"):
            known = [*parameters, *states, value(f"x_{t}", 2)]
            for k, (operation, a, b, has_name) in enumerate(body):
                made = operation(known[a % len(known)], known[b % len(known)])
                known.append(made.named(f"v{k}_{t}") if has_name else made)
        states = known[-len(states) :]
        if draw.random() < 0.2:
            states = tg.detach(states)
        total = total + np.sum(known[-1] * known[-2])
    return total


@pytest.mark.parametrize("detail", ["named", "ops"])
@pytest.mark.parametrize("seed", range(20))
def test_pictures_are_sound(seed: int, detail: str) -> None:
    directions = ("up", "right", "down") if seed < 3 else ("up",)
    for direction in directions:
        figure = viz.draw(program(seed), detail=detail, direction=direction)
        check(figure)
        boxes, lines = read(figure.source)  # and Graphviz is given the same
        outlined = [box for box in boxes.values() if box.outline]
        assert len(lines) >= len(outlined) - 1
        for line in lines:
            points = line.points()
            assert not [box for box in outlined if inside(box, points)], line


def test_a_deep_tangle_is_folded_soundly() -> None:
    """Values that the dots need may be recorded after values that the dots lead to."""
    draw = random.Random(0)
    known: list[Any] = [parameter(f"W_{k}", 2) for k in range(10)]
    for _ in range(600):
        known.append(draw.choice(OPERATIONS)(*draw.choices(known[-12:], k=2)))
    for detail in ("named", "ops"):
        check(viz.draw(np.sum(known[-1] + known[-2]), detail=detail))
