"""The service URNs (RFC 5031, NENA i3) for which the police answer. Pure.

Invariant: nobody who asks for fire or ambulance is given a police queue. Only what stands under a service of ours is
substituted by it (RFC 5222, section 13.2).
"""

from __future__ import annotations

from services.directory.lost.refusal import Refusal

SOS, I3_SOS = "urn:service:sos", "urn:emergency:service:sos"
RESPONDER = "urn:emergency:service:responder.police"
SERVED = (SOS, f"{SOS}.police", I3_SOS, f"{I3_SOS}.police", RESPONDER)
_TOP = (SOS, I3_SOS, RESPONDER)
_STANDS_FOR_ITS_PARTS = (f"{SOS}.police", I3_SOS, RESPONDER)
"""i3's sub-services of `sos` are parts of a control room: `psap`, `call_taker`, …"""


def resolve(service: str) -> str:
    """The service of ours that answers for this one: itself, or what stands for it.

    Raises Refusal where none does.
    """
    asked = service.lower()  # RFC 5031, section 4.1
    if asked in SERVED:
        return asked
    for ours in _STANDS_FOR_ITS_PARTS:
        if asked.startswith(f"{ours}."):
            return ours
    raise Refusal("serviceNotImplemented", f"Only the police answer here: {', '.join(SERVED)}.")


def below(service: str | None) -> tuple[str, ...]:
    """The services one level under this one; without one, those at the top (RFC 5222, section 10).

    Raises Refusal for a service that is not ours.
    """
    if service is None:
        return _TOP
    ours = resolve(service)
    if ours != service.lower():
        return ()
    return tuple(one for one in SERVED if one.startswith(f"{ours}.") and "." not in one[len(ours) + 1 :])
