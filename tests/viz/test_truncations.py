"""The comparison of truncation strategies."""

from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from tests.viz.reading import read
from viz.strategies import reaches

TEXT = "the time machine by h g wells"


@pytest.mark.parametrize(
    "strategy",
    [
        tg.Full(),
        tg.Subsequence(4),
        tg.Subsequence(1),
        tg.Window(3),
        tg.TBPTT(2, 5),
        tg.Randomized.from_links([1, 0, 2, 2, 0, 0, 3, 1, 1, 1, 1]),
    ],
)
def test_arrows_cover_just_what_the_weights_say(strategy: tg.Full) -> None:
    T = 11
    reached = np.zeros((T, T), bool)
    for first, last in reaches(strategy, T):
        for t in range(first, last + 1):
            reached[t, first : t + 1] = True
    weights = np.asarray(strategy.weights(T)) != 0
    assert np.all(reached >= weights)
    for first, last in reaches(strategy, T):
        assert weights[last, first:].sum() == last - first + 1
        assert not (first > 0 and weights[last, first - 1])


def test_arrows_stand_under_their_letters() -> None:
    source = viz.draw_truncations(TEXT, [tg.Subsequence(4), tg.Full()]).source
    boxes, lines = read(source)
    assert "".join(boxes[f"c{t}"].text for t in range(len(TEXT))).replace("\xa0", " ") == TEXT
    spans = {(line.source, line.target) for line in lines}
    assert spans == {(f"c{t}", f"c{min(t + 3, 28)}") for t in range(0, 29, 4)} | {("c0", "c28")}
    for line in lines:
        tip, start = line.tip, line.pieces[0][0]
        first, last = boxes[line.source], boxes[line.target]
        assert first.x - first.width / 2 < start[0] < first.x
        assert last.x < tip[0] < last.x + last.width / 2
    heights = sorted({line.pieces[0][0][1] for line in lines}, reverse=True)
    assert len(heights) == 2 and heights[0] < 0


def test_overlapping_reaches_have_lines_of_their_own() -> None:
    _, lines = read(viz.draw_truncations("abcdefgh", [tg.Window(2)]).source)
    assert len(lines) == 6
    assert len({line.pieces[0][0][1] for line in lines}) == 3


def test_names_are_written_where_there_are_names() -> None:
    source = viz.draw_truncations("abc", {"full <&": tg.Full()}).source
    assert "full &lt;&amp;" in source
    assert viz.draw_truncations("a\\N<&", {"full": tg.Full()}).svg().startswith("<svg")


def test_a_seeded_random_row_is_the_same_every_time() -> None:
    one, two = (viz.draw_truncations(TEXT, [tg.Randomized(0.8, rng=3)]).source for _ in range(2))
    assert one == two


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="text is empty"):
        viz.draw_truncations("", [tg.Full()])
    with pytest.raises(ValueError, match="strategies is empty"):
        viz.draw_truncations("abc", [])
    with pytest.raises(ValueError, match=r"weights of shape \(3, 3, 2\)"):
        viz.draw_truncations("abc", [tg.Subsequence((1, 2))])


def test_the_lowest_arrow_is_whole(tmp_path: Path) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure = viz.draw_truncations("abcdefgh", [tg.Full()])
    (_, low), _ = figure.scene.bounds()
    assert low < min(y for path in figure.scene.paths for cubic in path.head for _, y in cubic)
    pixels = pyplot.imread(figure.save(tmp_path / "rows.png"))
    assert np.all(pixels[-1, :, :3] == 1)  # paper
