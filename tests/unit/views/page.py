"""A page for widgets to speak to: what they send is kept, what a reader does is told to them."""

from __future__ import annotations

import json
from typing import Any

import comm
from comm.base_comm import BaseComm, CommManager

from nbflow.views import alive


class Page:
    """The other end of every widget that is made meanwhile."""

    def __init__(self, monkeypatch: Any) -> None:
        alive._ALIVE.clear()  # what earlier tests made speaks to pages that are no more
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.comms: list[BaseComm] = []  # of the widgets that show something
        self._manager = CommManager()
        # The two functions that `comm` has every kernel replace.
        monkeypatch.setattr(comm, "create_comm", self._open)
        monkeypatch.setattr(comm, "get_comm_manager", lambda: self._manager)

    def _open(self, *args: Any, **kwargs: Any) -> BaseComm:
        page = self

        class PageComm(BaseComm):
            def publish_msg(self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **_: Any):
                if buffers is None:
                    json.dumps(data)  # as a kernel does
                page.messages.append((msg_type, data or {}))
                if msg_type == "comm_open" and "data" in data["state"]:  # others are layouts of widgets
                    page.comms.append(self)

        return PageComm(*args, **kwargs)

    def close(self) -> None:
        """Close what spoke to it."""
        while alive._ALIVE:
            alive._ALIVE.pop().close()

    @property
    def opened(self) -> list[dict[str, Any]]:
        """The state that each widget began with."""
        return [data["state"] for kind, data in self.messages if kind == "comm_open" and "data" in data["state"]]

    @property
    def news(self) -> list[dict[str, Any]]:
        """What came since."""
        return [data["content"] for kind, data in self.messages if data.get("method") == "custom"]

    def say(self, message: dict[str, Any], widget: int = -1) -> dict[str, Any]:
        """Have the page say something to a widget; returns what the widget said last."""
        data = {"method": "custom", "content": message}
        self.comms[widget].handle_msg({"content": {"data": data}, "buffers": []})
        return self.news[-1]
