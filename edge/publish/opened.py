"""Open events as bytes: what the outbox keeps so that a restarted daemon can end what a killed one left open.

Their media times are left out: the epochs of a source end with the process that counted them.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace

from edge.types import Box, Contribution, Event, EventKind, Phase

log = logging.getLogger(__name__)

_MEDIA = ("media_begin", "media_end")
_FORMER = ("media_begin_ns", "media_end_ns", "epoch")  # as earlier versions wrote them


def pack_event(event: Event, seq: int) -> bytes:
    """An event without its media times, and the number of its last published phase."""
    kept = {name: value for name, value in asdict(event).items() if name not in _MEDIA}
    return json.dumps({"seq": seq, **kept}, default=str).encode()


def unpack_event(value: bytes) -> tuple[Event, int] | None:
    """The event and its number; None when a different version of this program wrote it unreadably."""
    try:
        raw = json.loads(value)
        seq = int(raw.pop("seq"))
        contribution = raw.pop("contribution")
        event = Event(
            **{
                **{name: value for name, value in raw.items() if name not in _FORMER},
                "media_begin": None,
                "kind": EventKind(raw["kind"]),
                "phase": Phase(raw["phase"]),
                "contribution": Contribution(**contribution) if contribution else None,
                "boxes": tuple(Box(**box) for box in raw["boxes"]),
                "zones": tuple(str(name) for name in raw.get("zones", ())),
                "tags": tuple((str(name), float(score)) for name, score in raw["tags"]),
            }
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("an event left open by an earlier run cannot be read (%s): it gets no end", error)
        return None
    return event, seq


def end_at_restart(event: Event, wall_ns: int) -> Event:
    """The end of an event whose daemon was killed. When it really ended is not known: this gives the restart."""
    lasted_ns = max(0, wall_ns - event.wall_begin_ns)
    return replace(
        event,
        phase=Phase.END,
        end_ns=event.begin_ns + lasted_ns,
        why=f"{event.why}; ended at restart: the daemon stopped without notice while this event was open",
    )
