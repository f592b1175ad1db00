"""The settler on a real server: what a child does not see of it from outside."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from ocrq.worker.settler import Settler
from tests.integration.ears import Ears
from tests.lua.snapshot import SLOT, Rig

if TYPE_CHECKING:
    from tests.servers import ServerHandle


def test_no_rest_before_an_audit(private_server: ServerHandle) -> None:
    """A connection that breaks at the last look may lead to a server that went back in time: first comes the audit."""
    own = Rig(private_server, "ocr")
    with closing(Ears(private_server.url, "ocr")) as ears:
        settler = Settler(ears.link, own.settings, own.keys, slot=SLOT, queues=["default"], default_processor="")
        with closing(settler):
            assert not settler.claim(5, None).tasks
            assert settler.is_quiet()
            own.running("forgotten")  # on this slot, which knows nothing of it
            own.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            assert not settler.is_quiet()
            assert settler.claim(5, None).more
            assert own.waiting() == ["forgotten"]
            assert [task.id for task in settler.claim(5, None).tasks] == ["forgotten"]
    own.client.close()
