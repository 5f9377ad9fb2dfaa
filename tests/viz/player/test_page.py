"""The page in a real browser: what it shows, and how it is worked."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from tests.viz.models import network, outputs
from viz.models import recurrent_loss

NAMED = "player.D.tied.find(p => player.D.names[p.n].map(run => run[0]).join('') === '{}')"


def gradient(page: Any, name: str) -> list[float]:
    """What the page has for a parameter, by the letters of its name."""
    found: list[float] = page.evaluate(f"[...player.parameterGradient({NAMED.format(name)})]")
    return found


@cache
def html(name: str) -> str:
    made = {
        "rnn": lambda: recurrent_loss(3),
        "rnn 6": lambda: recurrent_loss(6),
        "rnn 100": lambda: recurrent_loss(100),
        "lstm": lambda: recurrent_loss(4, cell="lstm"),
        "gru": lambda: recurrent_loss(4, cell="gru"),
        "two layers": lambda: recurrent_loss(3, layers=2),
        "network": network,
        "micrograd": micrograd,
        "own cell": lambda: outputs("by_hand")[0],
    }[name]()
    return viz.play(made, detail="ops" if name == "micrograd" else "named").html


def micrograd() -> tg.Tensor:
    """The example of micrograd's first page: scalars, and no time."""
    a = tg.Tensor(-4.0, requires_grad=True, name="a")
    b = tg.Tensor(2.0, requires_grad=True, name="b")
    c = a + b
    d = a * b + b**3
    c = c + c + 1
    c = c + 1 + c + (-a)
    d = d + d * 2 + tg.relu(b + a)
    d = d + 3 * d + tg.relu(b - a)
    e = c - d
    f = e**2
    g = f / 2.0
    result: tg.Tensor = (g + 10.0 / f).named("g")
    return result


def test_files_are_small() -> None:
    assert len(html("rnn").encode()) <= 60_000
    assert len(html("rnn 100").encode()) <= 1_100_000


NAMES = ["rnn", "lstm", "gru", "two layers", "network", "micrograd", "own cell"]


@pytest.mark.parametrize("name", NAMES)
def test_every_move_of_every_network(name: str, visit: Any) -> None:
    page = visit(html(name))
    told = page.evaluate(
        "() => Array.from({length: player.last + 1}, (_, move) => { player.go(move); return "
        "['#now h2', 'main'].map(part => document.querySelector(part).textContent) })"
    )
    assert not any("undefined" in text or "NaN" in text for _, text in told)
    headings = [heading for heading, _ in told]
    half = len(headings) // 2
    assert headings[0] == "Press play" and "complete" in headings[-1]
    assert all(heading.startswith("Forward") for heading in headings[1:half])
    assert all(heading.startswith("Backward") for heading in headings[half:-1])


def test_micrograds_numbers(visit: Any) -> None:
    page = visit(html("micrograd"), "#f=999")
    assert gradient(page, "a") == pytest.approx([138.8338], rel=1e-4)
    assert gradient(page, "b") == pytest.approx([645.5773], rel=1e-4)


def test_moves_follow_the_tape(visit: Any) -> None:
    page = visit(html("rnn"))
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#now h2") == "Forward, step 1"
    assert page.inner_text("#now .lines").replace("\n", "") == "h1=tanh(x1 Wxh + h0 Whh)"
    assert "h1 is computed" in page.inner_text("#live")
    page.keyboard.press("End")
    assert page.inner_text("#where") == "done"
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#now h2") == "Backward, step 1"
    page.keyboard.press("Home")
    assert page.inner_text("#where") == "before"
    page.locator("#scrub").fill("7")
    assert page.inner_text("#where") == "forward 7 of 7"
    page.keyboard.press("Space")
    assert page.inner_text("#play") == "❚❚ Pause"
    page.wait_for_function("() => player.state.move > 7")
    page.click("#play")
    assert page.inner_text("#play") == "▶ Play"


def test_bars_pile_up_to_the_gradient(visit: Any) -> None:
    page = visit(html("rnn 6"), "#s=full")
    shares = page.evaluate(
        "() => Array.from({length: player.last + 1}, "
        f"(_, move) => {{ player.go(move); const p = {NAMED.format('Whh')}; "
        "return player.soFar(p) / p.norm })"
    )
    assert shares[:8] == [0] * 8 and shares[-1] == pytest.approx(1, abs=1e-4)
    assert "100 % of the gradient" in page.text_content(".side-foot")
    page.evaluate("player.choose('window')")
    assert re.search(r"\d+ %, \d+° off", page.text_content(".side-foot"))


def test_a_click_cuts_a_link_and_another_mends_it(visit: Any) -> None:
    page = visit(html("rnn 6"), "#s=full&f=99")
    whole = gradient(page, "Whh")
    link = page.locator("[data-link]").nth(2)
    link.dispatch_event("click")
    assert page.evaluate("player.state.kind") == "hand"
    assert page.locator("input[value=hand]").is_checked()
    assert gradient(page, "Whh") != whole
    page.wait_for_function("() => location.hash.includes('cut=3')")
    assert page.locator(".way.cut").count() == 1
    link.dispatch_event("click")
    assert gradient(page, "Whh") == whole


def test_the_address_holds_what_is_seen(visit: Any) -> None:
    page = visit(html("rnn 6"), "#s=window&k=3&f=20")
    assert page.locator("input[value=window]").is_checked()
    assert (
        page.inner_text("#setting output") == "3" and page.locator("#scrub").input_value() == "20"
    )
    page.keyboard.press("]")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => location.hash === '#s=window&f=21&k=4'")
    again = visit(html("rnn 6"), "#s=nothing&k=x&f=-3&pick=1e9")
    assert again.evaluate("player.state.kind") == "full"


def test_a_layers_number_is_no_power(visit: Any) -> None:
    page = visit(html("two layers"), "#f=15")
    assert page.inner_text("#now h2") == "Backward, step 3"
    assert "(1 − (h3(2))2)" in page.inner_text("#now .lines")


def test_draw_again(visit: Any) -> None:
    page = visit(html("rnn 6"), "#s=randomized")
    first = page.evaluate("player.strategy.links")
    page.click("#again")
    assert page.evaluate("player.strategy.links") != first
    assert set(np.round(first, 9)) <= {0, 1, round(1 / 0.65, 9)}


def test_pointing_shows_value_and_gradient(visit: Any) -> None:
    page = visit(html("rnn"), "#f=99")
    shape = page.locator('[aria-label^="h2"]')
    shape.hover(force=True)
    text = page.inner_text("#numbers")
    assert text.startswith("h2 2×5") and "value" in text and "gradient, norm" in text
    assert page.locator("#numbers table").count() == 2
    page.mouse.move(5, 5)
    page.locator('[aria-label^="parameter Wxh"]').focus()
    assert page.inner_text("#numbers").startswith("Wxh 4×5\nvalue, norm")
    assert "not kept" not in page.inner_text("#numbers")


def test_keys_reach_everything(visit: Any) -> None:
    page = visit(html("rnn"))
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "(a => a.id || a.name || a.getAttribute('data-shape'))(document.activeElement)"
            )
        )
    assert {"save", "theme", "kind", "first", "back", "play", "next", "last", "scrub"} <= reached
    page.locator("[data-shape]").first.focus()
    visited = set()
    for key in ["ArrowRight", "ArrowUp", "ArrowRight", "ArrowRight", "ArrowDown"]:
        page.keyboard.press(key)
        visited.add(page.evaluate("document.activeElement.getAttribute('aria-label')"))
    assert len(visited) >= 4
    page.locator("[data-link]").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("player.state.kind") == "hand"


def test_saved_svg_stands_alone(visit: Any) -> None:
    page = visit(html("rnn 6"), "#s=randomized&f=22")
    with page.expect_download() as download:
        page.click("#save")
    assert download.value.suggested_filename.endswith("-22.svg")
    text = Path(download.value.path()).read_text()
    root = ET.fromstring(text)
    for kind in ("face", "strand", "way", "part", "pill", "bar"):
        saved = [e for e in root.iter() if kind in e.get("class", "").split()]
        assert len(saved) == page.locator(f"#stage .{kind}").count() > 0
    assert root.tag.endswith("svg") and "var(" not in text and "ξ" in text
    shown = page.evaluate(
        "async text => { const i = new Image(); i.src = 'data:image/svg+xml,' + "
        "encodeURIComponent(text); await i.decode(); return [i.width, i.height] }",
        text,
    )
    assert min(shown) > 100


def test_light_and_dark(visit: Any) -> None:
    page = visit(html("rnn"), color_scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    page.click("#theme")
    assert dark == "rgb(20, 23, 26)" and page.evaluate(paper) == "rgb(255, 255, 255)"


def test_less_motion(visit: Any) -> None:
    page = visit(html("rnn"), "#f=9", reduced_motion="reduce")
    page.keyboard.press("ArrowRight")
    assert page.locator(".fresh").count() == 0
    moving = visit(html("rnn"), "#f=9")
    moving.keyboard.press("ArrowRight")
    assert moving.locator(".fresh").count() > 0


def test_on_a_phone_a_wide_figure_is_moved_to_what_is_computed(visit: Any) -> None:
    page = visit(html("micrograd"), width=390)
    for move in (1, 24, 26, 49):
        page.evaluate("move => player.go(move)", move)
        box = page.locator(".now").first.bounding_box()
        assert box["x"] > 0 and box["x"] + box["width"] < 390


@pytest.mark.parametrize("name", ["rnn 6", "lstm"])
def test_on_a_phone_the_bars_are_below_the_figure(name: str, visit: Any) -> None:
    page = visit(html(name), "#f=99", width=390)
    figure, side = (page.locator(f"#{part}").bounding_box() for part in ("figure", "side"))
    assert side["y"] >= figure["y"] + figure["height"] - 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#play").bounding_box()["height"] >= 36


def test_on_a_phone_the_bars_show_the_figures_rows(visit: Any) -> None:
    page = visit(html("rnn 100"), "#f=360", width=390)
    middle = "element => { const b = element.getBoundingClientRect(); return b.y + b.height / 2 }"
    now, figure = (page.locator(part).evaluate(middle) for part in (".now", "#figure"))
    side = page.locator("#side").evaluate(middle)
    cells = "(cells, middle) => Math.max(...cells.map(eval(middle)))"
    lowest = page.locator("#side rect[fill-opacity]").evaluate_all(cells, middle)
    assert abs((lowest - side) - (now - figure)) < 20  # that of the move: rows come from above


SEEN = """() => {
    const frame = document.getElementById("stage").getBoundingClientRect();
    return [...document.querySelectorAll(".shape.b")].filter(box => {
        const { top, bottom } = box.getBoundingClientRect();
        return top > frame.top && bottom < frame.bottom;
    }).map(box => box.getAttribute("aria-label").split(",")[0]);
}"""


def test_a_hundred_steps_draw_what_is_in_view(visit: Any) -> None:
    page = visit(html("rnn 100"), "#f=360")
    strands = page.locator(".strand").count()
    assert 50 < strands < 1500  # of 5,050 for each link of the cell
    assert page.locator(".now").bounding_box()["y"] < 800
    page.evaluate("player.go(player.last)")
    assert "100 %" in page.text_content(".side-foot")
    assert re.search(r"each step drawn \d+ ×", page.text_content(".side-head"))
    for top in (3000, 600):
        page.locator("#stage").evaluate("(stage, top) => stage.scrollTo(0, top)", top)
        page.wait_for_timeout(100)
        assert page.locator("svg *").count() < 3000  # all of it would be more than 10,000
        seen = page.evaluate(SEEN)
        steps = sorted({int(name[1:]) for name in seen if name[0] == "h"})
        assert len(steps) > 5 and steps == list(range(steps[0], steps[-1] + 1))
        assert {f"{letter}{steps[3]}" for letter in "xhoy"} <= set(seen)
    page.locator(f'[aria-label^="h{steps[2]},"]').focus()
    for _ in range(20):
        page.keyboard.press("ArrowUp")
    walked = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert int(re.findall(r"\d+", walked)[0]) > steps[-1]  # what comes into view can be walked to


def test_in_a_notebooks_frame(visit: Any) -> None:
    player = viz.play(recurrent_loss(2))
    page = visit(f"<body data-ready=1>{player._repr_html_()}</body>")
    frame = page.frame_locator("iframe")
    frame.locator("#next").click()
    assert frame.locator("#now h2").inner_text() == "Forward, step 1"


MODULES = [Path("node_modules"), Path("/usr/lib/node_modules"), Path("/usr/local/lib/node_modules")]


@cache
def axe() -> str | None:
    """The text of axe-core, from where npm puts it."""
    paths = [root / "axe-core" / "axe.min.js" for root in MODULES]
    return next((path.read_text() for path in paths if path.is_file()), None)


@pytest.mark.parametrize(
    ("name", "scheme", "width"), [("rnn", "light", 1280), ("lstm", "dark", 390)]
)
def test_axe_finds_nothing_serious(
    name: str, scheme: str, width: int, visit: Callable[..., Any]
) -> None:
    script = axe()
    if script is None:
        pytest.skip("accessibility is tested where axe-core is installed (npm install -g axe-core)")
    page = visit(html(name), "#s=window&f=11", width, color_scheme=scheme)
    page.evaluate(script)
    found = page.evaluate("axe.run()")["violations"]
    assert [
        (v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")
    ] == []


HOSTILE = [
    "<u>w",
    "</script>",
    "<!--",
    "\"'`${w}",
    "{{data}}",
    "\u202eשל",
    "x" * 10_000,
    "\0\ud83d",
]


def test_names_are_letters_and_nothing_else(visit: Any) -> None:
    w, total = tg.Tensor([[0.5]], requires_grad=True, name=HOSTILE[0]), tg.Tensor(0.0)
    strange = tg.derivative(lambda h: 2 * h, lambda g: 2 * g)
    strange.__name__ = "<u>double"
    for t, name in enumerate(HOSTILE):
        with tg.step(t), tg.scope(name):
            h = np.tanh(strange(w) * (t + 1)).named(name)
            total = total + np.sum(h * h)
    page = visit(viz.play(total.named("<u>L"), detail="ops", title="<u></title>").html)
    page.evaluate(
        "() => { for (let move = 0; move <= player.last; move++) player.go(move);"
        "document.querySelectorAll('[data-shape], [data-link]').forEach(shape => shape.focus()) }"
    )
    assert page.title() == "<u></title>"
    assert page.locator("u").count() == 0 and page.locator("script").count() == 2
    assert "<u>w" in page.inner_text("body")
