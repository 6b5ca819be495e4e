"""The report in a real headless Chromium: every control works, markup is shown as text, the policy blocks nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from society.report.page import write_report
from tests.report.browser import READY, open_browser, open_page
from tests.report.reports import BOLD, HOSTILE, repeat, run_flips, run_opinions, run_sums

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DEBATE = "[{name: debate, topology: complete, rounds: 3}]"


NAMED = """[
    {name: independent_answers, topology: none}, {name: critical_discussion, topology: complete, rounds: 3},
    {name: final_deliberation, topology: ring, rounds: 2}]"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Write reports and return their addresses."""
    folder = tmp_path_factory.mktemp("reports")
    runs = {
        "flips": [run_flips(folder)],
        "hostile": [run_flips(folder, BOLD, hostile=True)],
        "many": [run_sums(folder, "many", DEBATE, 3, 300)],
        "two": [run_sums(folder, name, DEBATE, 3, 30, f"agents.speaker.count={n}") for name, n in (("a", 3), ("b", 1))],
        "star": [run_sums(folder, "star", "[{name: debate, topology: star, rounds: 2}]", 40, 2)],
        "trained": [repeat(run_sums(folder, "trained", DEBATE, 3, 20), 3)],
        "long": [repeat(run_sums(folder, "long", DEBATE, 3, 4), 30)],
        "single": [run_sums(folder, "single", "[{name: once, topology: complete}]", 2, 1)],
        "opinions": [run_opinions(folder, "opinions", 4)],
        "opinion": [run_opinions(folder, "opinion", 1)],
        "spread": [
            run_sums(folder, name, DEBATE, n, 5, "decision={kind: distribution}") for name, n in (("x", 3), ("y", 1))
        ],
        "alone": [run_sums(folder, "alone", "[{name: alone}]", 1, 3)],
        "named": [run_sums(folder, "named", NAMED, 12, 6)],
    }
    for name, found in runs.items():
        write_report(found, folder / f"{name}.html")
    return {name: (folder / f"{name}.html").as_uri() for name in runs}


@pytest.fixture(scope="module")
def browser(reports: dict[str, str]) -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


def count_shown(page: Page) -> int:
    """Return the number of debates above the list."""
    return int(page.inner_text("#count").split(" ")[0].replace(",", ""))


def read_hash(page: Page) -> str:
    found: str = page.evaluate("location.hash")
    return found


def save_debate(page: Page, folder: Path) -> dict[str, Any]:
    """Return the open debate as the page saves it."""
    with page.expect_download() as saved:
        page.click("text=Save JSON")
    saved.value.save_as(folder / "debate.json")
    assert re.fullmatch(r"[\w.-]+\.json", saved.value.suggested_filename)
    debate: dict[str, Any] = json.loads((folder / "debate.json").read_text())
    return debate


def is_visible(page: Page, selector: str) -> bool:
    """Return whether the element is within the visible part of the debate."""
    found: bool = page.evaluate(
        """(selector) => {
            const [own, pane] = [selector, "#debate"].map((s) => document.querySelector(s).getBoundingClientRect());
            return own.top >= pane.top - 1 && own.bottom <= pane.bottom + 1;
        }""",
        selector,
    )
    return found


@pytest.mark.parametrize("name", ["flips", "hostile", "many", "two", "star", "trained", "alone"])
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_the_page_opens_without_errors_and_fits(
    browser: Browser, reports: dict[str, str], name: str, width: int, dark: bool
) -> None:
    with open_page(browser, reports[name], width, dark) as page:
        assert page.locator(".finding").count() >= 2
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        text = "[object" in page.inner_text("body")
        assert not text
        assert len(page.screenshot()) > 10_000


def test_filters_by_tag_and_agent(browser: Browser, reports: dict[str, str]) -> None:
    with open_page(browser, reports["flips"]) as page:
        assert count_shown(page) == 2
        page.click("[data-tag=to_wrong]")
        assert count_shown(page) == 2
        page.select_option("#agent", "loser")
        assert count_shown(page) == 2
        page.select_option("#agent", "winner")
        assert count_shown(page) == 0
        page.click("[data-tag=to_wrong]")
        page.click("[data-tag=to_right]")
        assert count_shown(page) == 2
        assert page.get_attribute("[data-tag=to_right]", "aria-pressed") == "true"


def test_a_cell_of_changed_answers_lists_its_debates(browser: Browser, reports: dict[str, str]) -> None:
    with open_page(browser, reports["many"]) as page:
        page.click("[data-figure=flips] .bad button")
        assert page.get_attribute("[data-tag=to_wrong]", "aria-pressed") == "true"
        assert count_shown(page) == int(page.inner_text("[data-tag=to_wrong] small"))
        assert 0 < count_shown(page) < 300


@pytest.mark.parametrize(("name", "iterations"), [("trained", 3), ("long", 30)])
def test_the_chart_by_iteration_has_every_point_and_a_readable_axis(
    browser: Browser, reports: dict[str, str], name: str, iterations: int
) -> None:
    with open_page(browser, reports[name], width=390) as page:
        figure = "[data-figure=iterations]"
        assert page.locator(f"{figure} .series-0 .dot").count() == iterations
        assert page.locator(f"{figure} .band").count() == 2
        names = page.locator(f"{figure} text[text-anchor=middle]")
        boxes = [box for i in range(names.count()) if (box := names.nth(i).bounding_box())]
        assert 3 <= len(boxes) <= 6
        assert all(a["x"] + a["width"] < b["x"] for a, b in pairwise(boxes))


@pytest.mark.parametrize("name", ["flips", "many", "trained", "two"])
def test_every_described_value_is_drawn(browser: Browser, reports: dict[str, str], name: str) -> None:
    """Points of charts, rows of forest plots and segments of bars, as many as their descriptions have."""
    with open_page(browser, reports[name]) as page:
        counts: dict[str, list[int]] = page.evaluate("""() => {
            const count = (figure, selector) =>
                document.querySelectorAll(`[data-figure="${figure.id}"] ${selector}`).length;
            const sizes = {
                chart: (f) => [count(f, ".dot"), f.series.filter((s) => !s.faint).flatMap((s) => s.points).length],
                forest: (f) => [count(f, ".dot"), f.rows.length],
                bars: (f) => [count(f, "rect"), f.id === "turned"
                    ? f.bars.flatMap((b) => b.parts).filter((p) => p.value).length : f.bars.length],
            };
            const figures = [...data.runs[0].figures, ...(data.comparison?.figures ?? [])];
            return Object.fromEntries(figures.filter((f) => f.kind in sizes).map((f) => [f.id, sizes[f.kind](f)]));
        }""")
        assert {"accuracy", "rounds", "agreement"} <= counts.keys()
        assert all(drawn == described > 0 for drawn, described in counts.values()), counts


def test_search_finds_words_of_replies(browser: Browser, reports: dict[str, str]) -> None:
    with open_page(browser, reports["flips"]) as page:
        page.fill("#search", "no such word")
        page.wait_for_selector("#count:text-is('0 of 2')")
        page.fill("#search", "PeculiarWord france")
        page.wait_for_selector("#count:text-is('2')")
        page.fill("#search", "q1")
        page.wait_for_selector("#count:text-is('1 of 2')")


def test_the_slider_selects_rounds(browser: Browser, reports: dict[str, str]) -> None:
    with open_page(browser, reports["flips"]) as page:
        page.locator(".row").nth(1).click()
        assert read_hash(page) == "#item=q1&round=1"
        assert "loser: Paris (right)" in str(page.get_attribute("svg.graph", "aria-label"))
        assert page.locator(".edge.read").count() == 0
        page.locator("#round").fill("1")
        assert read_hash(page) == "#item=q1&round=2"
        assert "loser: Rome (wrong)" in str(page.get_attribute("svg.graph", "aria-label"))
        assert page.locator(".edge.read").count() > 0
        assert page.inner_text("section[data-current] h3") == "debate, round 2"
        assert is_visible(page, "svg.graph")
        assert is_visible(page, "section[data-current] h3")
        assert "right → wrong" in page.inner_text(".turn:has(.to-wrong)")
        assert page.locator(".turn", has_text="winner").locator("mark").last.inner_text() == "Paris"


def test_keys(browser: Browser, reports: dict[str, str]) -> None:
    with open_page(browser, reports["many"]) as page:
        first = page.inner_text("#debate h2")
        page.keyboard.press("j")
        page.keyboard.press("j")
        third = page.inner_text("#debate h2")
        assert third != first
        assert page.get_attribute(".row[aria-selected=true]", "aria-posinset") == "3"
        page.keyboard.press("k")
        page.keyboard.press("ArrowRight")
        assert read_hash(page).endswith("round=2")
        page.keyboard.press("ArrowLeft")
        assert read_hash(page).endswith("round=1")
        page.keyboard.press("/")
        page.keyboard.type("j?")
        assert page.input_value("#search") == "j?"
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        assert page.locator("#help").is_visible()
        page.keyboard.press("Escape")
        assert not page.locator("#help").is_visible()
        page.focus("#list")
        page.keyboard.press("ArrowDown")
        assert page.get_attribute("#list", "aria-activedescendant") is not None


def test_a_link_opens_its_debate_and_round_and_back_goes_back(browser: Browser, reports: dict[str, str]) -> None:
    with open_page(browser, reports["flips"] + "#item=q1&round=2") as page:
        assert page.inner_text("#debate h2").endswith("1")
        assert page.input_value("#round") == "1"
        page.locator(".row").nth(0).click()
        assert read_hash(page) == "#item=q0&round=1"
        page.go_back()
        page.wait_for_selector("#debate h2:has-text('France?  1')")
        assert page.input_value("#round") == "1"
    with open_page(browser, reports["flips"] + "#item=nobody&round=x") as page:
        assert page.inner_text("#debate h2").endswith("0")


def test_filters_are_in_the_link_and_back_undoes_them(browser: Browser, reports: dict[str, str]) -> None:
    with open_page(browser, reports["trained"]) as page:
        page.select_option("#iteration", "all")
        page.click("[data-tag=to_wrong]")
        page.select_option("#agent", "speaker-2")
        page.fill("#search", "value")
        page.wait_for_url(re.compile("words=value"))
        page.locator(".row").first.click()
        shown, address = page.inner_text("#count"), page.url
        assert read_hash(page).endswith("tags=to_wrong&agent=speaker-2&words=value&show=all")
    with open_page(browser, address) as page:
        assert page.inner_text("#count") == shown
        assert page.input_value("#agent") == "speaker-2"
        assert page.input_value("#iteration") == "all"
        assert page.input_value("#search") == "value"
        assert page.get_attribute("[data-tag=to_wrong]", "aria-pressed") == "true"
        page.click("[data-tag=to_wrong]")
        page.go_back()
        page.wait_for_selector("[data-tag=to_wrong][aria-pressed=true]")
        assert page.inner_text("#count") == shown
    hostile = "#tags=nothing%20__proto__&agent=nobody&show=77&words=&run=x"
    with open_page(browser, reports["trained"] + hostile) as page:
        assert count_shown(page) == 20


def test_a_key_at_the_top_of_the_page_scrolls_to_the_debate(browser: Browser, reports: dict[str, str]) -> None:
    with open_page(browser, reports["many"]) as page:
        assert page.evaluate("scrollY") == 0
        page.keyboard.press("j")
        assert abs(page.evaluate("document.getElementById('debates').getBoundingClientRect().top")) < 2
        page.evaluate("scrollTo(0, 0)")
        page.keyboard.press("k")
        assert abs(page.evaluate("document.getElementById('debates').getBoundingClientRect().top")) < 2


def test_a_debate_is_copied_and_saved(browser: Browser, reports: dict[str, str], tmp_path: Path) -> None:
    with open_page(browser, reports["hostile"]) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.click("text=Copy text")
        page.wait_for_selector(".said:text-is('copied')")
        text = page.evaluate("navigator.clipboard.readText()")
        assert "\n\n[debate, round 1] steady: Paris\nLine.\nParis\n" in text
        assert HOSTILE in text
        debate = save_debate(page, tmp_path)
        assert (debate["gold"], debate["decision"]["ending"], len(debate["turns"])) == ("Paris", "right", 10)
        last = next(t for t in debate["turns"] if t["agent"] == "winner" and t["round"] == 2)
        assert last["text"] == "I see, peculiarword.\nParis"
        assert {(read["agent"], read["round"]) for read in last["read"]} >= {("steady", 1), ("loser", 1)}
        assert [message["role"] for message in last["prompt"]] == ["system", "user", "assistant", "user"]
        assert {t["status"] for t in debate["turns"]} == {"ok", "failed"}


def test_a_run_without_true_answers_has_opinions_and_no_accuracy_in_its_headline(
    browser: Browser, reports: dict[str, str], tmp_path: Path
) -> None:
    with open_page(browser, reports["opinions"]) as page:
        headline = page.inner_text("#headline")
        assert "of the agents give the most frequent last answer, the mean of 4 debates" in headline
        assert "ccuracy" not in page.inner_text("main")
    with open_page(browser, reports["opinion"]) as page:
        assert re.search(r"decided by \d+% of 5 voters|no decision", page.inner_text("#headline"))
        assert {turn["right"] for turn in save_debate(page, tmp_path)["turns"]} == {None}


def test_a_distribution_is_no_single_answer_and_may_differ_between_runs(
    browser: Browser, reports: dict[str, str], tmp_path: Path
) -> None:
    with open_page(browser, reports["spread"]) as page:
        debate = save_debate(page, tmp_path)
        assert debate["gold"]
        assert debate["decision"]["ending"] == "no single answer"
        page.click("[data-tag=runs]")
        assert 0 < count_shown(page) <= 5


def test_terms_are_explained_at_the_focus_and_in_a_list(browser: Browser, reports: dict[str, str]) -> None:
    with open_page(browser, reports["two"], width=390) as page:
        page.locator(".term", has_text="chance alone").first.focus()
        assert page.inner_text("#tip").startswith("The p value")
        box = page.locator("#tip").bounding_box()
        assert box is not None
        assert 0 <= box["x"] < box["x"] + box["width"] <= 390
        page.keyboard.press("Escape")
        assert not page.is_visible("#tip")
        listed = page.locator("#term-list dt").all_inner_texts()
        assert "chance alone" in listed
        assert len(set(listed)) == len(listed)


def test_a_printed_page_keeps_its_colours_and_counts_what_is_folded(
    browser: Browser, reports: dict[str, str], tmp_path: Path
) -> None:
    with open_page(browser, reports["flips"], width=720, dark=True) as page:
        assert not page.inner_text("#debate")
        page.locator(".row").first.click()
        page.emulate_media(media="print", color_scheme="dark")
        style = "(s) => getComputedStyle(document.querySelector(s))"
        assert page.evaluate(f"({style})('.legend li').printColorAdjust") == "exact"
        assert page.evaluate(f"({style})('body').backgroundColor") == "rgb(255, 255, 255)"
        assert page.is_visible("g.bar rect")
        assert "1 of 2 debates is printed" in page.inner_text("#debate")
        assert "not printed" in page.evaluate(
            "getComputedStyle(document.querySelector('.turn summary'), '::after').content"
        )
        assert not page.is_visible(".finder")
        findings = page.locator(".finding")
        boxes = [box for i in range(findings.count()) if (box := findings.nth(i).bounding_box())]
        apart = [b["x"] - a["x"] - a["width"] for a, b in pairwise(boxes) if a["y"] == b["y"]]
        assert apart
        assert min(apart) > 20
        assert page.evaluate("document.documentElement.scrollWidth") <= 720
        assert page.pdf(path=tmp_path / "page.pdf")


def test_no_table_is_cut_at_any_width(browser: Browser, reports: dict[str, str]) -> None:
    cut = """() => [...document.querySelectorAll(".scroll")]
        .filter((box) => box.scrollWidth > box.clientWidth + 1).length"""
    for width in (1400, 700, 390):
        with open_page(browser, reports["two"], width=width) as page:
            page.evaluate("new Promise((wake) => requestAnimationFrame(() => requestAnimationFrame(wake)))")
            assert page.evaluate(cut) == 0
            stacked = page.locator(".scroll.stacked").count()
            assert stacked > 0 if width == 390 else stacked < page.locator(".scroll").count()


def test_runs_stand_side_by_side_and_metrics_are_no_list_on_a_wide_screen(
    browser: Browser, reports: dict[str, str]
) -> None:
    for name in ("two", "opinions"):
        with open_page(browser, reports[name], width=1400) as page:
            page.evaluate("new Promise((wake) => requestAnimationFrame(() => requestAnimationFrame(wake)))")
            assert page.locator(".scroll.stacked").count() == 0
    with open_page(browser, reports["two"], width=1400) as page:
        heads = page.locator("[data-figure=compared] th").all_inner_texts()
        assert heads == ["measure", "a", "b"]
        cells = page.locator("[data-figure=compared] td", has_text="[").all_text_contents()
        interval = [part for cell in cells for part in re.findall(r"\[.*?\]", cell)]
        assert not [part for part in interval if " " in part]


def test_a_short_list_of_debates_leaves_no_gap(browser: Browser, reports: dict[str, str]) -> None:
    for width in (390, 1400):
        with open_page(browser, reports["flips"], width=width) as page:
            box = page.locator("#list").bounding_box()
            assert box is not None
            assert box["height"] == 2 * 62 + 2
    with open_page(browser, reports["flips"], width=390) as page:
        finder, terms = page.locator(".finder").bounding_box(), page.locator("footer").bounding_box()
        assert finder
        assert terms
        assert terms["y"] - finder["y"] < 420
    with open_page(browser, reports["many"], width=390) as page:
        box = page.locator(".finder").bounding_box()
        assert box is not None
        assert 500 < box["height"] <= page.evaluate("innerHeight") - 40


def test_a_long_table_is_folded_on_the_screen_and_printed_in_full(browser: Browser, reports: dict[str, str]) -> None:
    with open_page(browser, reports["star"]) as page:
        rows = page.locator("[data-figure=agents] tbody tr:visible")
        assert rows.count() == 12
        page.emulate_media(media="print")
        assert rows.count() == 40
        page.emulate_media(media="screen")
        page.click("text=Show all 40 rows")
        assert rows.count() == 40


def test_prompts_are_loaded_on_demand(browser: Browser, reports: dict[str, str]) -> None:
    with open_page(browser, reports["hostile"]) as page:
        assert page.locator(".prompt pre").count() == 0
        page.locator(".turn summary").first.click()
        page.wait_for_selector(".prompt pre")
        assert page.locator(".prompt b").all_inner_texts() == ["system", "user"]
        assert HOSTILE in page.locator(".prompt pre").last.inner_text()


def test_thoughts_are_folded_and_loaded_on_demand(browser: Browser, reports: dict[str, str]) -> None:
    with open_page(browser, reports["hostile"]) as page:
        summaries = page.locator("details.thoughts summary")
        assert summaries.all_inner_texts() == ["Thought, 6 tokens"]  # of the first round
        assert "Is it Rome?" not in page.inner_text("#debate")
        summaries.click()
        page.wait_for_selector(".thoughts pre")
        assert page.inner_text(".thoughts pre") == f"Is it Rome? {HOSTILE}"
        assert not page.locator("details.thoughts img").count()


def test_several_runs_are_compared_in_the_headline_and_described_one_at_a_time(
    browser: Browser, reports: dict[str, str]
) -> None:
    with open_page(browser, reports["two"]) as page:
        assert page.inner_text("#title") == "sums: a and b"
        headline = page.inner_text("#headline")
        assert headline.startswith("No difference can be shown\na is right on")
        assert "95% interval" in headline
        assert page.inner_text("#run-title") == "Run a"
        assert page.inner_text("#run-subtitle") == "30 debates of 3 agents"
        page.locator("#runs button").last.click()
        assert page.inner_text("#run-title") == "Run b"
        assert page.inner_text("#run-subtitle") == "30 debates of 1 agent"
        assert page.inner_text("#headline") == headline
    with open_page(browser, reports["many"]) as page:
        assert page.inner_text("#subtitle").startswith("300 debates of 3 agents")


CROSSED = """() => [...document.querySelectorAll("svg")].flatMap((svg) => {
  const names = [...svg.querySelectorAll("text.name.small")];
  return names.filter((name) => {
    const box = name.getBBox();
    return [...svg.querySelectorAll("path.curve:not([d='']), line.interval")].some((line) => {
      const steps = Array.from({ length: 400 }, (_, i) => line.getPointAtLength((i / 399) * line.getTotalLength()));
      return steps.some(({ x, y }) => x > box.x && x < box.x + box.width && y > box.y && y < box.y + box.height);
    });
  }).map((name) => name.textContent);
})"""
"""JavaScript: the names beside points that a line or an interval crosses."""


def test_no_line_crosses_the_name_of_a_point(browser: Browser, reports: dict[str, str]) -> None:
    for name in ("two", "many", "flips", "trained"):
        with open_page(browser, reports[name]) as page:
            assert page.locator("text.name.small").count() > 1
            assert page.evaluate(CROSSED) == [], name


OVERLAPPING = """() => [...document.querySelectorAll("svg")].flatMap((svg) => {
  const texts = [...svg.querySelectorAll("text")].filter((text) => text.textContent);
  const boxes = texts.map((text) => text.getBoundingClientRect());
  return texts.flatMap((text, i) => texts.slice(0, i).filter((_, j) => {
    const [a, b] = [boxes[i], boxes[j]];
    return a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3;
  }).map((other) => `${other.textContent} | ${text.textContent}`));
})"""
"""JavaScript: the pairs of texts of a picture that cover each other."""


def test_texts_of_pictures_are_apart(browser: Browser, reports: dict[str, str]) -> None:
    for name in ("named", "long", "many"):
        with open_page(browser, reports[name]) as page:
            assert page.evaluate(OVERLAPPING) == [], name
    with open_page(browser, reports["named"]) as page:
        texts = page.locator("svg text").all_text_contents()
        cut = [text for text in texts if text.startswith("critical")]
        assert {text[-2:] for text in cut} == {" 1", " 2", " 3"}, "a name that is cut keeps the number of its round"


def test_markup_is_shown_as_text(browser: Browser, reports: dict[str, str]) -> None:
    with open_page(browser, reports["hostile"]) as page:
        assert page.title() == f"{BOLD} · society"
        assert page.inner_text("h1") == BOLD
        assert HOSTILE in page.inner_text("#subtitle")
        assert HOSTILE in page.inner_text("#debate h2")
        assert any(HOSTILE in text for text in page.locator(".turn .text").all_inner_texts())
        assert HOSTILE in page.locator(".row .question").first.inner_text()
        page.locator(".row").nth(1).click()
        assert page.locator("img").count() == 0
        assert page.locator("#debate b, .row b").count() == 0
        assert page.evaluate("document.scripts.length") == page.evaluate(
            "document.querySelectorAll('body > script').length"
        )


def test_the_policy_blocks_everything_that_the_page_does_not_need(browser: Browser, reports: dict[str, str]) -> None:
    page = browser.new_page()
    page.goto(reports["flips"])
    refused = page.evaluate("""async () => {
        const refused = [];
        document.addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
        const button = document.createElement("b");
        button.setAttribute("onclick", "window.ran = true");
        document.body.append(button);
        button.click();
        await fetch("http://127.0.0.1:9/").catch(() => {});
        const image = new Image();
        image.src = "http://127.0.0.1:9/x.png";
        await new Promise((wake) => { setTimeout(wake, 50); });
        return { ran: window.ran === true, refused: refused.sort() };
    }""")
    page.close()
    assert refused == {"ran": False, "refused": ["connect-src", "img-src", "script-src-attr", "script-src-elem"]}


def test_only_visible_rows_exist(browser: Browser, reports: dict[str, str]) -> None:
    with open_page(browser, reports["many"]) as page:
        assert page.locator(".row").count() < 40
        page.evaluate("document.getElementById('list').scrollTop = 1e9")
        page.wait_for_selector(".row[aria-posinset='300']")
        assert page.locator(".row").count() < 40


def test_light_and_dark(browser: Browser, reports: dict[str, str]) -> None:
    look = "getComputedStyle(document.body).backgroundColor"
    with open_page(browser, reports["flips"]) as page:
        light = page.evaluate(look)
        page.click("#theme")
        dark = page.evaluate(look)
        assert light != dark
        page.keyboard.press("t")
        assert page.evaluate(look) == light
    with open_page(browser, reports["flips"], dark=True) as page:
        assert page.evaluate(look) == dark


def test_two_runs_side_by_side(browser: Browser, reports: dict[str, str]) -> None:
    with open_page(browser, reports["two"]) as page:
        assert page.locator("#comparison figure").count() == 4
        assert "compute-matched" in page.inner_text("#comparison")
        page.click("[data-tag=runs]")
        apart = count_shown(page)
        assert 0 < apart < 30
        page.locator(".row").first.click()
        mine = page.inner_text("#debate .facts dd")
        page.click("#debate .others button")
        assert page.get_attribute("#runs button:nth-child(2)", "aria-pressed") == "true"
        assert ("right" in page.inner_text("#debate .facts dd")) != ("right" in mine)
        assert count_shown(page) == apart
        assert re.search(r"run=b", read_hash(page))
        page.reload()
        page.wait_for_selector(READY)
        assert page.get_attribute("#runs button:nth-child(2)", "aria-pressed") == "true"


def test_iterations_can_be_chosen(browser: Browser, reports: dict[str, str]) -> None:
    with open_page(browser, reports["trained"]) as page:
        assert page.locator("#iteration").is_visible()
        assert count_shown(page) == 20
        assert "iteration 2" in page.inner_text(".place")
        page.select_option("#iteration", "all")
        assert count_shown(page) == 60
        page.select_option("#iteration", "1")
        assert count_shown(page) == 20
        page.locator(".row").nth(3).click()
        address = page.url
    with open_page(browser, address) as page:
        assert "iteration 1" in page.inner_text(".place")
        assert page.input_value("#iteration") == "1"
    with open_page(browser, reports["flips"]) as page:
        assert not page.locator("#iteration").is_visible()


def test_a_narrow_page_shows_list_or_debate(browser: Browser, reports: dict[str, str]) -> None:
    with open_page(browser, reports["flips"], width=390) as page:
        assert not page.locator("#debate").is_visible()
        page.locator(".row").nth(1).click()
        assert page.locator("#debate h2").is_visible()
        assert not page.locator("#list").is_visible()
        page.click(".back")
        assert page.locator("#list").is_visible()
        page.go_back()
        page.wait_for_selector("#debate h2")
        assert not page.locator("#list").is_visible()


def test_every_control_has_a_name(browser: Browser, reports: dict[str, str]) -> None:
    with open_page(browser, reports["flips"]) as page:
        nameless = page.evaluate("""[...document.querySelectorAll("button, input, select, [role=img], [role=listbox]")]
            .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length))
            .map((e) => e.outerHTML)""")
        assert nameless == []


def test_a_page_about_one_debate_has_no_empty_box_no_empty_scale_and_no_debate(
    browser: Browser, reports: dict[str, str]
) -> None:
    with open_page(browser, reports["single"]) as page:
        page.set_viewport_size({"width": 1200, "height": 4000})
        assert "1 debate of 2 agents" in page.inner_text("#subtitle")
        assert page.evaluate("document.getElementById('list').clientHeight") <= 200
        page.click(".row")
        assert page.locator(".node").count() == 2
        assert page.locator(".edge").count() == 0  # one round: nobody reads
        assert page.evaluate("axisTicks({ unit: 'share' }, [0, 0])") == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
