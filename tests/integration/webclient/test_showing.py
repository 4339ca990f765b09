"""What the web client does with notifications: shows each once, says what became of it, remembers over reloads."""

from typing import Any
from uuid import UUID

from tests.integration.webclient.pages import AppPage
from tests.integration.webclient.scripted import ScriptedGateway, notification, until


async def test_a_notification_is_shown_and_acknowledged_after_that(app: AppPage, gateway: ScriptedGateway) -> None:
    await app.connect(gateway.url)
    await app.reaches("open")
    pushed = notification({"aps": {"alert": "Ding"}, "data": {"n": 1}})
    await gateway.say(pushed)
    await until(lambda: gateway.acked() != [], "an acknowledgement")

    assert await app.shown() == [pushed["id"]]
    assert gateway.acked() == [(pushed["id"], 100)]


async def test_the_acknowledgement_waits_for_who_shows_slowly(app: AppPage, gateway: ScriptedGateway) -> None:
    await app.make(gateway.url)
    await app.page.evaluate(
        """(gateway) => {
             window.finish = {};
             make({ gateways: [gateway], show: ({ id }) => new Promise((done) => (finish[id] = done)) });
             return device.connect();
           }""",
        gateway.url,
    )
    await app.reaches("open")
    slow, quick = notification(), notification()
    await gateway.say(slow, quick, slow)
    await app.page.wait_for_function("Object.keys(finish).length === 2")
    await app.page.evaluate("(id) => finish[id]()", quick["id"])
    await until(lambda: len(gateway.acked()) == 1, "the quick one")
    await app.page.evaluate("(id) => finish[id]()", slow["id"])
    await until(lambda: len(gateway.acked()) == 2, "the slow one")

    assert gateway.acked() == [(quick["id"], 100), (slow["id"], 100)]


async def test_the_code_says_what_became_of_it(app: AppPage, gateway: ScriptedGateway) -> None:
    cases: list[tuple[Any, int]] = [
        ({"fail": "throw"}, 102),
        ({"fail": "reject"}, 102),
        ({"fail": "decode"}, 101),
        ("gibberish", 101),
        (7, 101),
        ({"aps": {}}, 100),
    ]
    pushed = [notification(payload) for payload, _ in cases] + [notification() | {"payload": None}]
    await app.connect(gateway.url)
    await app.reaches("open")
    await gateway.say(*pushed)
    await until(lambda: len(gateway.acked()) == len(pushed), "all acknowledged")

    codes = dict(gateway.acked())
    assert [codes[each["id"]] for each in pushed] == [code for _, code in cases] + [101]
    assert await app.shown() == [pushed[index]["id"] for index in (0, 1, 2, 5)]
    assert len(await app.page.evaluate("faults")) == 6


async def test_a_batch_is_shown_one_by_one_and_acknowledged_in_one_frame(
    app: AppPage, gateway: ScriptedGateway
) -> None:
    batch = [notification(priority=1) for _ in range(50)]
    await app.connect(gateway.url)
    await app.reaches("open")
    await gateway.say({"type": "batch", "notifications": batch})
    await until(lambda: len(gateway.acked()) == 50, "all acknowledged")

    assert len(gateway.frames("ack")) == 1
    assert await app.shown() == [each["id"] for each in batch]


async def test_what_comes_twice_is_shown_once_and_acknowledged_twice(app: AppPage, gateway: ScriptedGateway) -> None:
    good, bad = notification(), notification({"fail": "throw"})
    await app.connect(gateway.url)
    await app.reaches("open")
    await gateway.say(good, bad)
    await until(lambda: len(gateway.acked()) == 2, "once")
    await gateway.hang_up(1011)
    await until(lambda: len(gateway.frames("hello")) == 2, "connected again")
    await gateway.say(good, bad)
    await until(lambda: len(gateway.acked()) == 4, "twice")

    assert sorted(gateway.acked()) == sorted([(good["id"], 100), (bad["id"], 102)] * 2)
    assert await app.shown() == [good["id"], bad["id"]]


async def test_a_reload_shows_nothing_again(app: AppPage, gateway: ScriptedGateway) -> None:
    pushed = notification()
    await app.connect(gateway.url)
    await app.reaches("open")
    await gateway.say(pushed)
    await app.page.wait_for_function("shown.length === 1")
    await app.open()  # at once: nothing else has kept it yet than the leaving of the page
    await app.connect(gateway.url)
    await app.reaches("open")
    before = len(gateway.acked())
    await gateway.say(pushed | {"stored": True})
    await until(lambda: len(gateway.acked()) > before, "acknowledged again")

    assert await app.shown() == []
    assert gateway.acked()[-1] == (pushed["id"], 100)
    assert gateway.frames("hello")[-1]["last_seen"] == pushed["id"]


async def test_the_last_thousand_are_remembered(app: AppPage, gateway: ScriptedGateway) -> None:
    pushed = [notification() for _ in range(1001)]
    await app.connect(gateway.url)
    await app.reaches("open")
    for start in range(0, 1001, 50):
        await gateway.say({"type": "batch", "notifications": pushed[start : start + 50]})
    await until(lambda: len(gateway.acked()) == 1001, "all acknowledged")
    await gateway.say(pushed[1], pushed[1000], pushed[0])
    await until(lambda: len(gateway.acked()) == 1004, "again")

    assert (await app.shown())[1001:] == [pushed[0]["id"]]
    kept = await app.page.evaluate("JSON.parse(localStorage['carillon:com.example.app:shown']).length")
    assert kept == 1000


async def test_withdrawn_ones_are_told_to_the_app(app: AppPage, gateway: ScriptedGateway) -> None:
    pushed = notification()
    await app.connect(gateway.url)
    await app.reaches("open")
    await gateway.say(pushed, {"type": "withdraw", "ids": [pushed["id"]]})
    await app.page.wait_for_function("withdrawn.length === 1")

    assert await app.page.evaluate("withdrawn") == [pushed["id"]]


async def test_what_was_seen_is_told_now_or_with_the_next_connection(app: AppPage, gateway: ScriptedGateway) -> None:
    first, second, third = (notification()["id"] for _ in range(3))
    await app.connect(gateway.url)
    await app.reaches("open")
    await app.page.evaluate("(ids) => device.seen(ids)", [first, "no id"])
    await until(lambda: len(gateway.frames("seen")) == 1, "told now")
    await gateway.hang_up(1011)
    await app.reaches("waiting")
    await app.page.evaluate("([one, other]) => { device.seen([one]); device.seen([other, one]); }", [second, third])
    await until(lambda: len(gateway.frames("seen")) == 2, "told later")

    assert [frame["ids"] for frame in gateway.frames("seen")] == [[first], [second, third]]


async def test_nonsense_from_a_gateway_is_told_and_changes_nothing(app: AppPage, gateway: ScriptedGateway) -> None:
    pushed = notification()
    await app.connect(gateway.url)
    await app.reaches("open")
    await gateway.say(
        "no JSON",
        "null",
        "[]",
        {"type": "news of a later release"},
        {"type": "batch"},
        {"type": "batch", "notifications": [None, 7, {}]},
        notification() | {"id": "no id"},
        {"type": "withdraw"},
        pushed,
    )
    await until(lambda: gateway.acked() != [], "the good one")

    assert gateway.acked() == [(pushed["id"], 100)]
    assert len(gateway.opened_at) == 1
    assert "the gateway said what is no JSON" in await app.page.evaluate("faults")


async def test_a_browser_that_keeps_nothing_loses_only_its_memory(app: AppPage, gateway: ScriptedGateway) -> None:
    pushed = notification()
    await app.page.evaluate(
        "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }; 0"
    )
    await app.connect(gateway.url)
    await app.reaches("open")
    await gateway.say(pushed, pushed)
    await until(lambda: len(gateway.acked()) == 2, "both acknowledged")

    assert await app.shown() == [pushed["id"]]


async def test_an_injected_storage_is_used_in_place_of_the_browsers(app: AppPage, gateway: ScriptedGateway) -> None:
    await app.page.evaluate(
        """(gateway) => {
             window.kept = new Map();
             const storage = {
               getItem: (name) => kept.get(name) ?? null,
               setItem: (name, value) => kept.set(name, value),
               removeItem: (name) => kept.delete(name),
             };
             make({ gateways: [gateway], storage });
             return device.connect();
           }""",
        gateway.url,
    )
    await app.reaches("open")
    pushed = notification()
    await gateway.say(pushed)
    await until(lambda: gateway.acked() != [], "acknowledged")

    assert await app.page.evaluate("localStorage.length") == 0
    assert sorted(await app.page.evaluate("[...kept.keys()]")) == [
        "carillon:com.example.app:device",
        "carillon:com.example.app:shown",
    ]
    assert UUID(await app.page.evaluate("JSON.parse(kept.get('carillon:com.example.app:shown'))[0][0]"))
