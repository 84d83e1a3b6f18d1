"""Why downstream refused a buffer, in words: the pad that is linked to nothing, or the name of the flow return."""

from __future__ import annotations

from collections import deque

from ._gst import Gst


def _behind(pad: Gst.Pad) -> Gst.Element | Gst.Pad | None:
    """The element that a source pad leads to, in a bin or out of one; the pad itself where it leads nowhere."""
    peer = pad.get_peer()
    if peer is None:
        return pad
    if isinstance(peer, Gst.GhostPad):  # into a bin
        target = peer.get_target()
        return target.get_parent_element() if target is not None else peer
    outer = peer.get_parent()
    if isinstance(outer, Gst.GhostPad):  # out of a bin
        return _behind(outer)
    return outer if isinstance(outer, Gst.Element) else None


def unlinked_pad(element: Gst.Element) -> Gst.Pad | None:
    """The first pad downstream of ``element``, its own ones included, that leads nowhere; ``None`` when all do."""
    seen = {element}
    waiting = deque([element])
    while waiting:
        for pad in waiting.popleft().srcpads:
            found = _behind(pad)
            if isinstance(found, Gst.Pad):
                return found
            if found is not None and found not in seen:
                seen.add(found)
                waiting.append(found)
    return None


def why_refused(element: Gst.Element, flow: int) -> str:
    """What is wrong when pushing from ``element`` gave ``flow``, and the mend.

    Args:
        element: the element that pushed.
        flow: a GstFlowReturn that is no success.

    Returns:
        One clause, such as ``"c:src is not linked; link it to the next element"``.
    """
    if flow == int(Gst.FlowReturn.NOT_LINKED):
        pad = unlinked_pad(element)
        if pad is not None:
            owner = pad.get_parent_element()
            where = f"{owner.get_name()}:{pad.get_name()}" if owner is not None else pad.get_name()
            return (
                f"{where} is not linked; link it to the next element, or to a fakesink where the frames are not wanted"
            )
        return "a pad downstream is not linked"
    if flow == int(Gst.FlowReturn.NOT_NEGOTIATED):
        return "an element downstream does not take these caps; put nvvideoconvert and a capsfilter before it"
    return f"flow {Gst.FlowReturn(flow).value_nick if flow <= 0 else flow}"
