"""What holds for every picture, measured on its DOT source."""

from itertools import pairwise

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from tests.viz.models import MODELS, outputs
from tests.viz.reading import Box, Line, named, read
from tests.viz.soundness import check
from viz.geometry import Measure, meeting, sample
from viz.models import recurrent_loss

CASES = [(name, detail) for name in MODELS for detail in ("named", "ops")]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case))
def picture(request: pytest.FixtureRequest) -> tuple[dict[str, Box], list[Line]]:
    """The boxes, but not what only explains, and the links between them."""
    name, detail = request.param
    boxes, lines = read(viz.draw(*outputs(name), detail=detail).source)
    links = [line for line in lines if line.source[0] == line.target[0] == "n"]
    return {key: box for key, box in boxes.items() if key[0] == "n"}, links


def inside(box: Box, points: np.ndarray) -> bool:
    off = np.abs(points - (box.x, box.y))
    if box.circle:
        return bool(np.any(np.hypot(*off.T) < box.width / 2 - 0.05))
    return bool(np.any(np.all(off < (box.width / 2 - 0.05, box.height / 2 - 0.05), axis=1)))


def test_no_line_passes_through_a_box_or_a_circle(
    picture: tuple[dict[str, Box], list[Line]],
) -> None:
    boxes, lines = picture
    outlined = [box for box in boxes.values() if box.outline]
    assert lines
    for line in lines:
        points = line.points()
        through = [box.text or box.id for box in outlined if inside(box, points)]
        assert not through, f"{boxes[line.source].text} -> {boxes[line.target].text}"


@pytest.mark.parametrize("direction", ["up", "right"])
@pytest.mark.parametrize("name", [name for name in MODELS if name != "rnn_hundred_steps"])
def test_every_model_is_sound(name: str, direction: str) -> None:
    check(viz.draw(*outputs(name), direction=direction, values=direction == "up"))


def test_lines_begin_and_end_at_their_boxes(picture: tuple[dict[str, Box], list[Line]]) -> None:
    boxes, lines = picture
    for line in lines:
        for box, point in (
            (boxes[line.source], line.pieces[0][0]),
            (boxes[line.target], line.tip),
        ):
            off = np.abs(point - (box.x, box.y))
            if box.circle:
                gap = np.hypot(*off) - box.width / 2
            else:
                gap = np.max(off - (box.width / 2, box.height / 2))
            assert -0.1 < gap < 2.5


def test_boxes_do_not_overlap(picture: tuple[dict[str, Box], list[Line]]) -> None:
    boxes = list(picture[0].values())
    for n, a in enumerate(boxes):
        for b in boxes[:n]:
            apart_x = abs(a.x - b.x) - (a.width + b.width) / 2
            apart_y = abs(a.y - b.y) - (a.height + b.height) / 2
            assert max(apart_x, apart_y) > 2, (a, b)


@pytest.mark.parametrize("detail", ["named", "ops"])
@pytest.mark.parametrize(
    "name", ["rnn", "rnn_five_steps", "rnn_subsequence", "lstm", "own_cell", "plain_loop"]
)
def test_time_goes_upwards_in_even_rows(name: str, detail: str) -> None:
    boxes, _ = read(viz.draw(*outputs(name), detail=detail).source)
    xs = [box for box in boxes.values() if box.text.startswith("x") and box.text[1:].isdigit()]
    heights = [box.y for box in sorted(xs, key=lambda box: int(box.text[1:]))]
    steps = np.diff(heights)
    assert len(heights) >= 3
    assert np.all(steps > 0) and np.ptp(steps) == 0 and steps[0] % 36 == 0
    for box in boxes.values():
        if box.text[:1] == "h" and box.text[1:].isdigit() and box.text != "h0":
            assert box.y == named(boxes, f"x{box.text[1:]}").y
        if box.fill == "#66BFFF":
            assert box.y < min(heights)


def test_the_textbooks_measures() -> None:
    """Column centres, rows, sizes and colours of the figure in the D2L book's chapter."""
    boxes, lines = read(viz.draw(*outputs("rnn")).source)
    for t in (1, 2, 3):
        row = [named(boxes, f"{letter}{t}") for letter in "xhoy"]
        assert [box.x for box in row] == [19, 117, 211, 297]
        assert {box.y for box in row} == {19 + 36 * t}
        assert {(box.width, box.height) for box in row} == {(22.5, 22.5)}
        assert {box.fill for box in row} == {None}
    circles = [box for box in boxes.values() if box.circle]
    assert sorted((box.x, box.y) for box in circles) == sorted(
        [(x, y) for x in (70, 168) for y in (55, 91, 127)] + [(254, 91)]
    )
    assert {(box.fill, round(box.width, 2)) for box in circles} == {("#B2D9FF", 24.5)}
    assert (named(boxes, "L").x, named(boxes, "L").y) == (254, 127)
    assert (named(boxes, "h0").x, named(boxes, "h0").y) == (117, 19)
    parameters = {box.text: (box.x, box.y) for box in boxes.values() if box.fill == "#66BFFF"}
    assert parameters == {"Wxh\u2009, Whh": (70, 19), "Whq": (168, 19)}
    assert len(lines) == 6 * 2 + 2 * 3 + 3 + 3 + 3 + 1


def test_a_loop_without_marked_steps_gives_the_same_figure() -> None:
    marked, unmarked = (read(viz.draw(*outputs(name)).source) for name in ("rnn", "plain_loop"))
    places = [
        {(box.text, box.circle, box.fill, box.x, box.y) for box in boxes.values()}
        for boxes, _ in (marked, unmarked)
    ]
    assert places[0] == places[1]
    assert len(marked[1]) == len(unmarked[1])


def test_layers_with_weights_of_their_own_are_not_taken_for_steps() -> None:
    boxes, _ = read(viz.draw(*outputs("tower")).source)
    assert {box.y for box in boxes.values() if box.text[:1] == "h"} == {named(boxes, "x").y}


def test_lines_under_the_parameters_curves_are_broken() -> None:
    boxes, lines = read(viz.draw(*outputs("rnn")).source)
    pieces = {
        (boxes[line.source].text, boxes[line.target].y): len(line.pieces)
        for line in lines
        if boxes[line.target].x in (70, 168) and not boxes[line.source].text.startswith("W")
    }
    # Each line has at least its curve and its arrow head.
    assert {text: n for (text, _), n in pieces.items() if text[0] == "x"} == {
        "x1": 3,
        "x2": 3,
        "x3": 2,
    }
    assert pieces["h1", 55] == pieces["h2", 91] == 3 and pieces["h3", 127] == 2


def test_parameters_bend_left_around_the_nearer_circles() -> None:
    boxes, lines = read(viz.draw(recurrent_loss(4)).source)
    for x in (c.x for c in boxes.values() if c.circle and c.y == 55):
        reach = [
            x - line.points()[:, 0].min()
            for line in sorted(lines, key=lambda line: boxes[line.target].y)
            if boxes[line.source].fill == "#66BFFF" and boxes[line.target].x == x
        ]
        assert len(reach) == 4
        assert np.all(np.diff(reach) > 0) and reach[1] > 12.25 + 5


def crossing_points(figure: viz.Figure) -> list[np.ndarray]:
    """Where lines of different sources and targets meet, each place once."""
    paths = [path for path in figure.scene.paths if path.link is not None]
    diagram = figure.scene.diagram
    assert diagram is not None
    segments = []
    for path in paths:
        link = diagram.links[path.link or 0]
        for curve in path.curves:
            points = sample(curve)
            segments += [(link, *ends) for ends in pairwise(points)]
    start = np.array([s[1] for s in segments])
    stop = np.array([s[2] for s in segments])
    ends = np.array([(s[0].source, s[0].target) for s in segments])
    found: list[np.ndarray] = []
    for n in range(0, len(segments), 64):
        k, m, t, _ = meeting(start[n : n + 64], stop[n : n + 64], start, stop)
        k = k + n
        apart = np.all(ends[k] != ends[m], axis=1)
        k, t = k[apart], t[apart, None]
        for point in start[k] + t * (stop - start)[k]:
            if not any(np.hypot(*(point - known)) < 1 for known in found):
                found.append(point)
    return found


def test_twenty_steps_are_as_clear_as_three() -> None:
    three, twenty = (viz.draw(recurrent_loss(n), fold=None) for n in (3, 20))
    wide = [np.subtract(*f.scene.bounds()[::-1])[0] for f in (three, twenty)]
    assert wide[1] <= 1.2 * wide[0]
    assert 30 < len(crossing_points(twenty)) <= 40
    for path in twenty.scene.paths:
        whole = Measure([cubic for curve in path.curves for cubic in curve]).total
        shown = sum(Measure(curve).total for curve in path.gapped)
        assert shown >= 0.7 * whole
    assert sum(len(path.rims) for path in twenty.scene.paths) == len(crossing_points(twenty))


def test_parameters_of_many_rows_share_a_rail() -> None:
    boxes, lines = read(viz.draw(recurrent_loss(20), fold=None).source)
    for x in {c.x for c in boxes.values() if c.circle and c.y == 55}:
        rail = [
            line.points()[:, 0].min()
            for line in lines
            if boxes[line.source].fill == "#66BFFF" and boxes[line.target].x == x
        ]
        assert len(rail) == 20 and len({round(left, 1) for left in rail[1:]}) == 1


def test_cut_links_are_grey_and_barred() -> None:
    boxes, lines = read(viz.draw(*outputs("rnn_subsequence")).source)
    cut = [line for line in lines if line.color]
    assert [boxes[line.source].text for line in cut] == ["h2", "h4"]
    for line in cut:
        assert len(line.pieces) == 5  # two stretches, two bars, the head


def test_scaled_links_show_their_factor() -> None:
    boxes, lines = read(viz.draw(*outputs("own_cell")).source)
    (scaled,) = [line for line in lines if line.color == "#C05000"]
    assert boxes[scaled.source].text == "s2"
    caption = named(boxes, "ξ = 2.5")
    assert np.min(np.hypot(*(scaled.points() - (caption.x, caption.y)).T)) < 30


def test_long_sequences_fold() -> None:
    boxes, _ = read(viz.draw(*outputs("rnn_hundred_steps")).source)
    hidden = sorted(int(b.text[1:]) for b in boxes.values() if b.text[:1] == "h")
    assert hidden == [0, 1, 2, 3, 4, 98, 99, 100]
    assert sum(box.text == "⋮" for box in boxes.values()) == 4
    boxes, _ = read(viz.draw(*outputs("rnn_five_steps"), fold=3).source)
    assert sorted(b.text for b in boxes.values() if b.text[:1] == "h") == ["h0", "h1", "h5"]
    boxes, _ = read(viz.draw(*outputs("rnn_hundred_steps"), fold=None).source)
    assert sum(b.text[:1] == "h" for b in boxes.values()) == 101


def test_dots_stand_where_that_is_what_they_stand_for() -> None:
    cell = tg.RNNCell(3, 4, rng=0)
    states, _ = tg.unroll(cell, np.ones((12, 2, 3)))
    losses = [tg.mse(h, 0.0) for h in states]
    boxes, lines = read(viz.draw(sum(losses), detail="ops").source)

    def follow(box: Box, text: str, backwards: bool = False) -> list[Box]:
        ends = [(line.target, line.source) if backwards else (line.source, line.target)
                for line in lines]  # fmt: skip
        return [boxes[b] for a, b in ends if boxes[a] is box and boxes[b].text == text]

    # The folded products with W_hh are under and over the ones that are shown.
    (product,), (dots,) = follow(named(boxes, "h3"), "@"), follow(named(boxes, "h4"), "⋮")
    assert dots.x == product.x and dots.y > product.y

    # The sum grows to the right and upwards, through the dots too.
    chain = [b for b in boxes.values() if b.text == "⋮" and follow(b, "+") and follow(b, "+", True)]
    (between,) = [
        b for b in chain if b.x > max(box.x for box in boxes.values() if box.text == "h1")
    ]
    (before,), (after,) = follow(between, "+", True), follow(between, "+")
    assert before.x < between.x < after.x and before.y < between.y < after.y
