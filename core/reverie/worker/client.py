"""What a client may say while it waits for its dream."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from reverie.worker.messages import ProtocolError

if TYPE_CHECKING:
    from reverie.worker.messages import Channel


class Client:
    """A client that waits.

    Attributes:
        channel: its connection.
        wants_stop: set when it wants the dream as far as it is.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.wants_stop = threading.Event()

    def listen(self) -> None:
        """Hear what it has said.

        Raises:
            HungUp: it wants no more.
            ProtocolError: it said something else than that it wants to stop.
        """
        for message in self.channel.arrived():
            if message.get("stop") is not True or "bytes" in message:
                raise ProtocolError(f"only a stop is due now; this came: {str(message)[:80]}")
            self.wants_stop.set()
