"""The sink of test keys: a channel inside the process that reaches nobody and answers by the recipient's script."""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Sequence

from channels.base import Outcome, Outgoing, Sent
from channels.scripts import Scene, Script, scene_of
from domain.errors import Ambiguous, DeliveryFailure, RecipientGone, Throttled, Transient
from domain.lanes import Channel
from domain.reasons import Reason

_KEPT = 1000
_GREYLISTED = 10_000


class SimulatedChannel:
    """Takes what test keys send. `taken` holds the last 1,000 deliveries it accepted, for tests to look at."""

    provider = "simulated"
    slice_size = 1

    def __init__(self, channel: Channel, *, timeout_s: float = 15.0) -> None:
        self.channel = channel
        self.timeout_s = timeout_s
        self.taken: deque[Outgoing] = deque(maxlen=_KEPT)
        self._refusals: OrderedDict[str, int] = OrderedDict()

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def send(self, slice_: Sequence[Outgoing]) -> list[Outcome]:
        """Answer each as its recipient is scripted; outcomes stand in the order of the slice."""
        return list(await asyncio.gather(*(self._send_one(outgoing) for outgoing in slice_)))

    async def _send_one(self, outgoing: Outgoing) -> Outcome:
        begun_s = time.monotonic()
        # a device's id may end in the digits of a scripted phone: devices are simply reached
        scene = scene_of(outgoing.address) if self.channel is not Channel.PUSH else Scene(Script.OK)
        refusal = self._refusal(scene, f"{outgoing.tenant_id}:{outgoing.address}")
        if refusal is not None:
            return refusal
        if scene.script is Script.SLOW:
            await asyncio.sleep(min(float(scene.amount), self.timeout_s))
        self.taken.append(outgoing)
        if scene.script is Script.RESET or (scene.script is Script.SLOW and scene.amount >= self.timeout_s):
            return Ambiguous(Reason.PROVIDER_SILENT, "simulated: taken, and no answer came")
        duration_ms = (time.monotonic() - begun_s) * 1000
        return Sent(self.provider, f"sim-{outgoing.id}", "simulated: taken", duration_ms)

    def _refusal(self, scene: Scene, key: str) -> DeliveryFailure | None:
        match scene.script:
            case Script.BOUNCE:
                return RecipientGone(Reason.ADDRESS_REJECTED, "simulated: nobody lives there")
            case Script.THROTTLE:
                return Throttled(Reason.PROVIDER_THROTTLED, "simulated: slower", retry_after_s=1.0)
            case Script.DOWN | Script.HANGUP:
                return Transient(Reason.PROVIDER_UNAVAILABLE, "simulated: out of order")
            case Script.GREYLIST:
                return self._greylist(key, scene.amount)
            case _:
                return None

    def _greylist(self, key: str, times: int) -> DeliveryFailure | None:
        refused = self._refusals.get(key, 0)
        if refused >= times:
            self._refusals.pop(key, None)
            return None
        self._refusals[key] = refused + 1
        self._refusals.move_to_end(key)
        while len(self._refusals) > _GREYLISTED:
            self._refusals.popitem(last=False)
        return Transient(Reason.ADDRESS_DEFERRED, f"simulated: greylisted, {refused + 1} of {times}")
