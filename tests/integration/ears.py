"""A link that remembers its troubles, and ways to tell whether its doorbell rings."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ocrq.connection import client
from ocrq.link import Link
from tests.lua.snapshot import SLOT, Rig

if TYPE_CHECKING:
    from ocrq.calls import Call, Claim
    from ocrq.errors import OcrqError

T = TypeVar("T")


class Ears:
    """A link, and the troubles that it told of."""

    def __init__(self, url: str, namespace: str, *, patience: int = 1000, **options: Any) -> None:
        self.troubles: list[OcrqError] = []
        made = client(url, namespace=namespace, **options)
        self.link = Link(
            made,
            f"{namespace}:task:leases",
            url=url,
            listen=True,
            giving_up=lambda: len(self.troubles) >= patience,
            on_trouble=self.troubles.append,
        )

    def close(self) -> None:
        self.link.close()


def claim(rig: Rig, nonce: str, count: int = 5, *queues: str) -> Call[Claim]:
    return rig.transitions.claim(
        queues or ("default",), slot=SLOT, nonce=nonce, count=count, fair_after=9, default_processor=""
    )


def rings_within(link: Link, seconds: float) -> bool:
    """Whether the doorbell rings, and long before the time is up."""
    started = time.monotonic()
    return link.wait(seconds) and time.monotonic() - started < seconds / 2


def armed(rig: Rig, link: Link, *queues: str) -> None:
    """The link found nothing, has no older ring, and listens."""
    assert arm(link, rig.transitions.peek(queues or ("default",))) is False
    assert not link.wait(0)


def arm(link: Link, call: Call[T]) -> T:
    """Its keys ring from now on; rings for what was before are over. The reply."""
    for _ in range(2):
        (reply,) = link.exchange(call, arm=1)
        link.wait(0)
    return cast("T", reply)


def url_of(rig: Rig) -> str:
    options = rig.client.connection_pool.connection_kwargs
    return f"redis://{options['host']}:{options['port']}/0"
