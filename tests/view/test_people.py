"""The pages of people: what they show, what they accept, and what is refused."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from backends.human import Human, Question, answered_through
from society.core.errors import InputError
from society.core.types import ChatMessage
from society.results import Run
from society.scenario import load_scenario
from society.session import run
from society.view import server
from society.view.live import LiveView
from society.view.people import PageAsker
from tests.report.browser import open_browser, open_page
from tests.report.reports import run_sums

HOST = "127.0.0.1:8000"
ORIGIN = {"origin": f"http://{HOST}"}
QUESTION = Question("ann", (ChatMessage("system", "You are ann."), ChatMessage("user", "Well? \x1b[31m")), seconds=60)
SCENARIO = """
version: 1
name: seats
task: {kind: inline, items: [{question: "Cities without <b>cars</b>?", gold: "yes"}], choices: ["yes", "no"]}
backends:
  bots: {kind: scripted, rules: [{say: "The answer is yes."}]}
  ann: {kind: human, person: ann}
  bob: {kind: human, person: bob, time_limit: 0.3, default: bot}
roles:
  solver: {prompt: "{% for m in heard %}{{ m.sender }} said: {{ m.text }} {% endfor %}{{ question }}"}
  chair: {prompt: "Who speaks next?"}
agents:
  bot: {role: solver, backend: bots}
  guest: {role: solver, backend: ann}
  chair: {role: chair, backend: bob}
phases:
  - {name: debate, agents: [bot, guest], topology: complete, rounds: 2}
  - {name: closing, agents: [bot, guest], schedule: moderated, moderator: chair, rounds: 1}
"""


class Asking:
    """A question that is asked in an event loop of another thread, as in a run."""

    def __init__(self, asker: PageAsker, *questions: Question) -> None:
        self.entries: list[str] = []
        self.errors: list[BaseException] = []
        self._asker, self._questions = asker, questions
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask()), daemon=True)
        self._thread.start()
        self.wait_for(lambda: bool(asker.describe(questions[0].person)["number"]))

    async def _ask(self) -> None:
        for question in self._questions:
            try:
                self.entries.append(await self._asker.ask(question))
            except InputError as error:
                self.errors.append(error)

    def wait_for(self, found: Callable[[], bool]) -> None:
        pause = threading.Event()
        for _ in range(12_000):
            if found():
                return
            pause.wait(0.005)
        raise AssertionError("it does not happen")

    def end(self) -> list[str]:
        self._thread.join(60)
        return self.entries


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_sums(tmp_path_factory.mktemp("sums"), "sums", "[{name: debate}]", 1, 1).folder


@pytest.fixture
def asker() -> PageAsker:
    return PageAsker(["ann", "bob"])


@pytest.fixture
def web(folder: Path, asker: PageAsker) -> Iterator[TestClient]:
    app = server.build_app(server.Follower(folder), "secret", HOST, asker)
    with TestClient(app, base_url=f"http://{HOST}") as client:
        yield client


def send(web: TestClient, token: str, sent: Any, **headers: str) -> int:
    body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    given = {**ORIGIN, "content-type": "application/json", **headers}
    return web.post(f"/{token}/entry", content=body, headers=given).status_code


def test_a_question_is_shown_and_answered_once(web: TestClient, asker: PageAsker) -> None:
    token = asker.tokens["ann"]
    assert web.get(f"/{token}/question").json() == {"person": "ann", "number": 0, "ended": False}
    asking = Asking(asker, QUESTION, replace(QUESTION, fault="Nothing was typed."))
    shown = web.get(f"/{token}/question").json()
    assert shown["messages"] == [["system", "You are ann."], ["user", "Well? \x1b[31m"]]
    assert 0 < shown["left"] <= 60
    assert web.get(f"/{token}/question").json()["number"] == shown["number"] == 1  # a reload changes nothing
    assert send(web, token, {"number": 1, "text": "naïve 東京 <b>"}) == 204
    asking.wait_for(lambda: asker.describe("ann")["number"] == 2)
    again = web.get(f"/{token}/question").json()
    assert (again["fault"], again["first"]) == ("Nothing was typed.", 1)
    assert again["left"] <= shown["left"]  # the limit began with the first showing
    assert send(web, token, {"number": 1, "text": "late"}) == 409
    assert send(web, token, {"number": 2, "text": "yes"}) == 204
    assert send(web, token, {"number": 2, "text": "twice"}) == 409
    assert asking.end() == ["naïve 東京 <b>", "yes"]
    asker.end()
    assert web.get(f"/{token}/question").json()["ended"]


def test_a_persons_address_opens_nothing_else(web: TestClient, asker: PageAsker) -> None:
    ann, bob = asker.tokens.values()
    assert web.get("/secret/index").status_code == 200
    for path in (f"/{ann}/index", f"/{ann}/texts/replies/0", "/secret/question", f"/{ann}/../secret/index/x", "/ann/"):
        assert web.get(path).status_code == 404
    asking = Asking(asker, QUESTION)
    assert web.get(f"/{bob}/question").json()["number"] == 0
    assert send(web, bob, {"number": 1, "text": "forged"}) == 409
    assert send(web, ann, {"number": 1, "text": "own"}) == 204
    assert asking.end() == ["own"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "evil.example:8000"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-length": "10000001"}, 413),
        ({"content-length": "-1"}, 411),
    ],
)
def test_forged_entries_are_refused(web: TestClient, asker: PageAsker, headers: dict[str, str], status: int) -> None:
    asking = Asking(asker, QUESTION)
    token, entry = asker.tokens["ann"], {"number": 1, "text": "forged"}
    assert send(web, token, entry, **headers) == status
    assert send(web, token, {"number": 1, "text": "own"}) == 204
    assert asking.end() == ["own"]


@pytest.mark.parametrize(
    "sent", [b"", b"{", b"[]", b"{}", {"number": "1", "text": "x"}, {"number": True, "text": "x"}, {"number": 1}]
)
def test_other_bodies_are_refused(web: TestClient, asker: PageAsker, sent: Any) -> None:
    assert send(web, asker.tokens["ann"], sent) == 400


def test_without_an_origin_or_at_another_address_nothing_is_sent(web: TestClient, asker: PageAsker) -> None:
    token, sent = asker.tokens["ann"], {"number": 1, "text": "x"}
    assert web.post(f"/{token}/entry", json=sent).status_code == 403
    assert web.post(f"/{token}/question", json=sent, headers=ORIGIN).status_code == 405
    assert web.post("/secret/index", json=sent, headers=ORIGIN).status_code == 405
    assert web.post("/wrong/entry", json=sent, headers=ORIGIN).status_code == 405
    assert web.request("PUT", f"/{token}/entry", json=sent, headers=ORIGIN).status_code == 405


def test_a_page_that_cannot_be_served_ends_the_questions(asker: PageAsker) -> None:
    asking = Asking(asker, QUESTION, QUESTION)
    asker.fail(InputError("There is no page."))
    assert asking.end() == []
    assert [f"{error}" for error in asking.errors] == ["There is no page."] * 2


def test_a_question_that_is_taken_back_is_no_longer_open(asker: PageAsker) -> None:
    async def late() -> str:
        async with Human(person="ann", time_limit=0.05, default="pass").open() as backend:
            return (await backend.generate(request)).text

    from backends.contract_tools import ask

    request = ask("Well?", max_tokens=50)
    with answered_through(asker):
        assert asyncio.run(late()) == "pass"
    assert asker.describe("ann")["number"] == 0
    assert not asker.send("ann", 1, "late")


@pytest.mark.browser
def test_a_person_answers_on_a_page(tmp_path: Path) -> None:
    """The page is reloaded while a draft is typed, and a wrong entry is asked again; bob never opens his page."""
    (tmp_path / "seats.yaml").write_text(SCENARIO)
    asker, addresses = PageAsker(["ann", "bob"]), dict[str, str]()
    served = threading.Event()

    def ready(found: dict[str, str]) -> None:
        addresses.update(found)
        served.set()

    asker.ready = ready
    live = LiveView(lambda url: None, asker)

    def play() -> None:
        with answered_through(asker):
            run(load_scenario(tmp_path / "seats.yaml"), tmp_path / "out", watcher=live, progress=False)

    playing = threading.Thread(target=play, daemon=True)
    playing.start()
    try:
        assert served.wait(120)
        with open_browser() as browser, open_page(browser, addresses["ann"]) as page:
            page.wait_for_selector("pre.text:has-text('Cities without <b>cars</b>?')")
            assert "said:" not in page.inner_text("main")
            page.fill("#entry", "No, naïve 東京")
            page.reload()
            page.wait_for_selector("#form:not([hidden])")
            assert page.input_value("#entry") == "No, naïve 東京"
            page.click("#send")
            page.wait_for_selector("pre.text:has-text('bot said: The answer is yes.')")
            assert page.input_value("#entry") == ""
            page.click("#send")
            page.wait_for_selector("#fault:text-is('Nothing was typed.')")
            page.fill("#entry", "The answer is no.")
            page.keyboard.press("Control+Enter")
            page.wait_for_selector("#live:has-text('the run has ended')")
    finally:
        playing.join(120)
        live.stop()
    turns = {(turn.id.agent, turn.id.phase, turn.id.round): turn for turn in Run(tmp_path / "out").turns()}
    assert turns["guest", "debate", 1].text == "No, naïve 東京"
    assert turns["guest", "debate", 2].answer == "B"
    assert (turns["chair", "closing", 1].text, turns["chair", "closing", 1].usage.defaults) == ("bot", 1)
