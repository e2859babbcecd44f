"""Asks the discoveries of one node, each at its own pace, for as long as the node is open.

Law of this room: no discovery waits for another, and none can end the node, hold up its start for longer than one answer may
take, or fill its log. What was found last stands until there is a new answer. (Refused: asking all together and using what
comes: the slowest would then decide when the addresses that are written down are dialled.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import trio

from hubkit.discovery.protocol import USUAL, Discovery, Here, Pace, Resident, Residing
from hubkit.discovery.sifting import Complaints, patience, sift
from hubkit.environment import Environment
from hubkit.logs import Log
from hubkit.net.lines import one_line

__all__ = ["ANSWER_WITHIN", "Finder", "Joined"]

log: Log = Log("hubkit.discovery")

#: Seconds within which a discovery must answer.
ANSWER_WITHIN = 10.0
STEADY = 60.0  # seconds of work after which a failure counts as the first


@dataclass(frozen=True, slots=True)
class Joined:
    """What ``join=`` says: the URLs that are written there, and whom to ask for more."""

    urls: tuple[str, ...] = ()
    discoveries: tuple[Discovery, ...] = ()

    def hopeful(self, own: str | None) -> bool:
        """Whether there may be anybody but the node at ``own`` itself."""
        return bool(self.discoveries) or any(url.rstrip("/") != (own or "").rstrip("/") for url in self.urls)


@dataclass(eq=False, slots=True)
class _Asked:
    """One discovery, and what came of asking it."""

    discovery: Discovery
    work: Residing | None = None
    urls: tuple[str, ...] = ()
    answered: bool = False  # or has failed to
    failures: int = 0
    complaints: Complaints = field(default_factory=Complaints)
    again: trio.Event = field(default_factory=trio.Event)

    @property
    def pace(self) -> Pace:
        pace: object = getattr(self.discovery, "_pace", None)
        return pace if isinstance(pace, Pace) else USUAL

    def hurry(self) -> None:
        self.again.set()

    def complain(self, kind: str, text: str) -> None:
        if self.complaints.news(kind):
            log.warning("%s: %s (told once)", one_line(repr(self.discovery), 120), one_line(text))


class Finder:
    """The discoveries of one node.

    ``tell(urls, complete)`` is called at once and after each change: which URLs are worth dialling (`True`: it was written
    down by hand), and whether every discovery has been asked at least once.
    """

    def __init__(
        self,
        joined: Joined,
        *,
        url: str | None,
        secrets: tuple[bytes, ...],
        environment: Environment,
        tell: Callable[[Mapping[str, bool], bool], object],
    ) -> None:
        self._joined = joined
        self._url = url
        self._environment = environment
        self._tell = tell
        self._asked = [_Asked(discovery) for discovery in joined.discoveries]
        for asked in self._asked:
            if isinstance(asked.discovery, Resident):
                asked.work = asked.discovery.reside(Here(url, secrets, environment, asked.hurry))
        self._said: tuple[Mapping[str, bool], bool] | None = None

    async def run(self) -> None:
        """Ask until cancelled."""
        self._say()
        async with trio.open_nursery() as nursery:
            for asked in self._asked:
                if asked.work is not None:
                    nursery.start_soon(self._reside, asked, asked.work)
                nursery.start_soon(self._ask, asked)

    async def _ask(self, asked: _Asked) -> None:
        source = asked.work or asked.discovery
        while True:
            asked.again = trio.Event()
            try:
                with trio.fail_after(ANSWER_WITHIN):
                    answer = await source.addresses()
                sifted = sift(answer, self._url, asked.urls)
            except trio.TooSlowError:
                self._failed(asked, "slow", f"no answer within {ANSWER_WITHIN:g} s")
            except Exception as error:  # it is the user's own code: whatever it raises
                self._failed(asked, type(error).__name__, f"cannot say where other nodes are: {error!r}")
            else:
                asked.failures = 0
                asked.urls = sifted.urls
                for kind, text in sifted.complaints:
                    asked.complain(kind, text)
                if not sifted.complaints:
                    asked.complaints.good()
            asked.answered = True
            self._say()
            with trio.move_on_after(patience(asked.pace, asked.failures) * self._environment.jitter()):
                await asked.again.wait()

    async def _reside(self, asked: _Asked, work: Residing) -> None:
        failures = 0
        while True:
            began = trio.current_time()
            try:
                await work.run()
            except Exception as error:
                failures = failures + 1 if trio.current_time() - began < STEADY else 1
                asked.complain(type(error).__name__, f"does not work: {error!r}")
            else:
                failures = 0
            if failures:
                await trio.sleep(patience(USUAL, failures) * self._environment.jitter())
            else:
                await trio.lowlevel.checkpoint()

    def _failed(self, asked: _Asked, kind: str, text: str) -> None:
        asked.failures += 1
        asked.complain(kind, text)

    def _say(self) -> None:
        urls = {url: False for asked in self._asked for url in asked.urls}
        urls.update((url, True) for url in self._joined.urls if url != self._url)
        said = (urls, all(asked.answered for asked in self._asked))
        if said != self._said:
            self._said = said
            self._tell(*said)
