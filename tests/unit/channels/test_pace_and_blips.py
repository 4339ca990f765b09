"""Pace, blips, scripts and the registry's door: what stands between a worker and a provider."""

import asyncio
from collections.abc import Sequence

import pytest

from channels.base import Blip, Outcome, Outgoing, Sent
from channels.breaker import BreakerState
from channels.pace import Pace
from channels.registry import Channels, open_channels
from channels.retry import MAX_TOTAL_S, past_blips
from channels.scripts import Scene, Script, scene_of
from channels.simulated import SimulatedChannel
from domain.errors import Ambiguous, CircuitOpen, NotSent, Throttled, Transient
from domain.lanes import Channel
from domain.notification import Mode
from domain.reasons import Reason
from plumbing.settings import Settings
from tests.fakes import outgoing

SENT = Sent("fake", "1", "ok", 1.0)
BLIP = Blip(Reason.PROVIDER_UNAVAILABLE, "refused")


class Time:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Scripted:
    """A channel that answers from a list, the last answer again and again."""

    channel = Channel.EMAIL
    provider = "scripted"
    slice_size = 1
    timeout_s = 1.0

    def __init__(self, *answers: Outcome | Exception) -> None:
        self.answers = list(answers)
        self.calls = 0

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, slice_: Sequence[Outgoing]) -> list[Outcome]:
        return [await self.answer() for _ in slice_]

    async def answer(self) -> Outcome:
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Outcome):
            return answer
        raise answer


async def test_a_connection_that_failed_before_anything_left_is_tried_again_at_once() -> None:
    port = Scripted(BLIP, BLIP, SENT)

    assert await past_blips(port.answer) is SENT
    assert port.calls == 3


async def test_a_blip_that_lasts_is_answered_as_it_is_after_three_tries() -> None:
    port = Scripted(BLIP)

    assert await past_blips(port.answer) is BLIP
    assert port.calls == 3


async def test_a_blip_that_took_longer_than_all_tries_may_is_not_tried_again() -> None:
    port = Scripted(BLIP)

    async def send() -> Outcome:
        await asyncio.sleep(MAX_TOTAL_S + 0.01)
        return await port.answer()

    assert await past_blips(send) is BLIP
    assert port.calls == 1


@pytest.mark.parametrize("outcome", [Ambiguous(Reason.PROVIDER_SILENT), Transient(Reason.PROVIDER_UNAVAILABLE), SENT])
async def test_what_may_have_arrived_or_was_answered_is_never_tried_again(outcome: Outcome) -> None:
    port = Scripted(outcome)

    assert await past_blips(port.answer) is outcome
    assert port.calls == 1


async def test_a_throttled_pace_halves_what_was_used_and_recovers_with_good_answers() -> None:
    time = Time()
    pace = Pace("fake", max_per_s=100.0, clock=time)
    for _ in range(40):
        time.now_s += 0.01
        await pace.call(Scripted(SENT).answer)

    await pace.call(Scripted(Throttled(Reason.PROVIDER_THROTTLED)).answer)
    assert pace.rate_per_s == pytest.approx(20.5)

    time.now_s += 4
    await pace.call(Scripted(SENT).answer)
    assert pace.rate_per_s == pytest.approx(40.5)
    time.now_s += 100
    await pace.call(Scripted(SENT).answer)
    assert pace.rate_per_s == 100.0


async def test_many_throttled_answers_at_once_lower_the_pace_once() -> None:
    time = Time()
    pace = Pace("fake", max_per_s=100.0, clock=time)
    for _ in range(40):
        time.now_s += 0.01
        await pace.call(Scripted(SENT).answer)

    pace_after = []
    for _ in range(2):
        await pace.call(Scripted(Throttled(Reason.PROVIDER_THROTTLED)).answer)
        pace_after.append(pace.rate_per_s)

    assert pace_after[0] == pace_after[1]


async def test_a_wait_that_the_provider_named_holds_the_others_back_unsent() -> None:
    time = Time()
    pace = Pace("fake", clock=time)
    await pace.call(Scripted(Throttled(Reason.PROVIDER_THROTTLED, retry_after_s=30)).answer)
    port = Scripted(SENT)

    outcome = await pace.call(port.answer)

    assert isinstance(outcome, NotSent)
    assert outcome.reason is Reason.PROVIDER_THROTTLED
    assert port.calls == 0
    time.now_s += 30
    assert await pace.call(port.answer) is SENT


async def test_a_short_wait_is_waited_and_a_longer_one_is_parked() -> None:
    pace = Pace("fake", max_per_s=5.0, clock=Time())

    room = pace.room
    outcomes = [await pace.call(Scripted(SENT).answer) for _ in range(3)]

    assert outcomes[:2] == [SENT] * 2
    assert isinstance(outcomes[2], NotSent)
    assert (room, pace.room) == (2, 0)


@pytest.mark.parametrize("max_per_s", [7.0, 100.0, 1000.0])
async def test_after_a_pause_no_second_has_more_than_a_fifth_above_the_rate(max_per_s: float) -> None:
    time = Time()
    pace = Pace("fake", max_per_s=max_per_s, clock=time)
    begun_s = []
    for _ in range(int(3 * max_per_s)):
        while not pace.room:
            time.now_s += 0.001
        begun_s.append(time.now_s + max(0.0, pace.reserve()))

    for begin_s in begun_s:
        assert sum(begin_s <= one < begin_s + 1 for one in begun_s) <= 1.2 * max_per_s + 1


async def test_the_registry_answers_in_order_and_parks_while_the_breaker_is_open() -> None:
    port = Scripted(Transient(Reason.PROVIDER_UNAVAILABLE))
    channels = Channels({Channel.EMAIL: port}, {})
    slice_ = [outgoing(f"{number}@example.com") for number in range(5)]

    first = await channels.send(Channel.EMAIL, Mode.LIVE, slice_)
    second = await channels.send(Channel.EMAIL, Mode.LIVE, slice_)

    assert all(type(outcome) is Transient for outcome in first)
    assert all(isinstance(outcome, CircuitOpen) for outcome in second)
    assert channels.states() == {Channel.EMAIL: BreakerState.OPEN}
    assert port.calls == 5


async def test_a_channel_that_raises_against_its_word_is_ambiguous() -> None:
    channels = Channels({Channel.EMAIL: Scripted(RuntimeError("bug"))}, {})

    [outcome] = await channels.send(Channel.EMAIL, Mode.LIVE, [outgoing("a@example.com")])

    assert isinstance(outcome, Ambiguous)


async def test_test_keys_reach_the_sink_and_never_the_provider() -> None:
    port = Scripted(SENT)
    sink = SimulatedChannel(Channel.EMAIL)
    channels = Channels({Channel.EMAIL: port}, {Channel.EMAIL: sink})

    [outcome] = await channels.send(Channel.EMAIL, Mode.TEST, [outgoing("a@example.com", mode=Mode.TEST)])

    assert isinstance(outcome, Sent)
    assert outcome.provider == "simulated"
    assert port.calls == 0
    assert len(sink.taken) == 1


async def test_a_channel_without_a_provider_rests_its_deliveries() -> None:
    channels = await open_channels(Settings(_env_file=None, smtp_url=None, sms_url=None))

    [outcome] = await channels.send(Channel.SMS, Mode.LIVE, [outgoing("+15550100000")])

    assert isinstance(outcome, Transient)
    assert outcome.reason is Reason.PROVIDER_UNCONFIGURED
    await channels.close()


@pytest.mark.parametrize(
    ("recipient", "scene"),
    [
        ("ok@example.com", Scene(Script.OK)),
        ("ada@example.com", Scene(Script.OK)),
        ("bounce+1234@example.com", Scene(Script.BOUNCE)),
        ("Greylist-2+x@example.com", Scene(Script.GREYLIST, 2)),
        ("slow@example.com", Scene(Script.SLOW, 3)),
        ("slow-1@example.com", Scene(Script.SLOW, 1)),
        ("slow-x@example.com", Scene(Script.OK)),
        ("down-town@example.com", Scene(Script.OK)),
        ("+15550100001", Scene(Script.BOUNCE)),
        ("+15550100012", Scene(Script.GREYLIST, 2)),
        ("+15551234567", Scene(Script.OK)),
    ],
)
def test_a_recipient_names_its_scene(recipient: str, scene: Scene) -> None:
    assert scene_of(recipient) == scene
