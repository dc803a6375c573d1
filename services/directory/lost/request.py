"""What a LoST client asks (RFC 5222, sections 8 to 11), read from its XML. Pure.

Invariant: what is not read here is refused with one of the standard's errors, and nothing of it is repeated.
Extension elements are passed over, as the standard has it; of them `asOf` alone is understood.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from libs.events.types.shapes import Shape
from libs.places import UnusableShape
from libs.places.pidf import Address, is_civic, is_geodetic, read_address, read_shape, read_time
from libs.places.safe_xml import Element, NotXml, name_of, read_xml, text_of
from services.directory.lost.refusal import Refusal

NAMESPACE = "urn:ietf:params:xml:ns:lost1"
PROFILES = ("geodetic-2d", "civic")
MAX_LOCATIONS = 16
MAX_VIAS = 32
_MAX_TOKEN = 256
_SOURCE = re.compile(r"(?:[a-zA-Z0-9-]+\.)+[a-zA-Z0-9]+")
"""Section 15, appUniqueString."""
_PROFILE = re.compile(r"[A-Za-z0-9._:-]{1,64}")
"""An NMTOKEN (section 15), of the letters that profiles are named with."""

How: TypeAlias = Literal["value", "reference"]


@dataclass(frozen=True)
class Location:
    id: str | None
    """As the client names it; not every client does."""
    shape: Shape
    address: Address | None = None
    """Where it is a civic one."""


@dataclass(frozen=True)
class FindService:
    service: str
    locations: tuple[Location, ...]
    """Alternatives, that to prefer first: those that could be read, one at least."""
    boundary: How
    validate: bool
    as_of: datetime | None
    path: tuple[str, ...]


@dataclass(frozen=True)
class ListServices:
    service: str | None
    path: tuple[str, ...]


@dataclass(frozen=True)
class ListServicesByLocation:
    service: str | None
    locations: tuple[Location, ...]
    path: tuple[str, ...]


@dataclass(frozen=True)
class GetServiceBoundary:
    key: str


Request: TypeAlias = FindService | ListServices | ListServicesByLocation | GetServiceBoundary


def read_request(content: bytes) -> Request:
    """Raises Refusal."""
    try:
        root = read_xml(content)
    except NotXml as error:
        raise Refusal("badRequest", str(error)) from None
    namespace, name = name_of(root)
    read = _READERS.get(name) if namespace == NAMESPACE else None
    if read is None:
        raise Refusal(
            "badRequest",
            f"A request is findService, listServices, listServicesByLocation or getServiceBoundary in {NAMESPACE}.",
        )
    return read(root)


def _find_service(root: Element) -> FindService:
    service = _service(root)
    if service is None:
        raise Refusal("badRequest", "A findService must name the service, as urn:service:sos.police.")
    how = root.get("serviceBoundary", "reference").strip()
    if how not in ("value", "reference"):
        raise Refusal("badRequest", "The attribute serviceBoundary is value or reference.")
    _boolean(root, "recursive")
    return FindService(
        service=service,
        locations=_locations(root),
        boundary="value" if how == "value" else "reference",
        validate=_boolean(root, "validateLocation"),
        as_of=_as_of(root),
        path=_path(root),
    )


def _list_services(root: Element) -> ListServices:
    return ListServices(_service(root), _path(root))


def _list_services_by_location(root: Element) -> ListServicesByLocation:
    _boolean(root, "recursive")
    return ListServicesByLocation(_service(root), _locations(root), _path(root))


def _get_service_boundary(root: Element) -> GetServiceBoundary:
    key = _token(root.get("key"))
    if key is None:
        raise Refusal("badRequest", "A getServiceBoundary must have the attribute key.")
    return GetServiceBoundary(key)


_READERS: dict[str, Callable[[Element], Request]] = {
    "findService": _find_service,
    "listServices": _list_services,
    "listServicesByLocation": _list_services_by_location,
    "getServiceBoundary": _get_service_boundary,
}


def _children(root: Element, name: str) -> list[Element]:
    return list(root.iterchildren(f"{{{NAMESPACE}}}{name}"))


def _token(text: str | None) -> str | None:
    """An xsd:token; None for none, or an empty one."""
    token = " ".join((text or "").split())
    if len(token) > _MAX_TOKEN:
        raise Refusal("badRequest", f"An attribute or a service is over {_MAX_TOKEN} characters.")
    return token or None


def _boolean(root: Element, name: str) -> bool:
    text = root.get(name, "false").strip()
    if text not in ("true", "false", "1", "0"):
        raise Refusal("badRequest", f"The attribute {name} is true or false.")
    return text in ("true", "1")


def _service(root: Element) -> str | None:
    services = _children(root, "service")
    if len(services) > 1:
        raise Refusal("badRequest", "A request names one service.")
    return _token(text_of(services[0])) if services else None


def _path(root: Element) -> tuple[str, ...]:
    """The servers that the request has come by."""
    vias = [via for path in _children(root, "path") for via in _children(path, "via")]
    if len(vias) > MAX_VIAS:
        raise Refusal("badRequest", f"The path has over {MAX_VIAS} servers.")
    sources = tuple((via.get("source") or "").strip() for via in vias)
    if not all(len(source) <= _MAX_TOKEN and _SOURCE.fullmatch(source) for source in sources):
        raise Refusal("badRequest", "A via must name its source, as lost.example.org.")
    return sources


def _as_of(root: Element) -> datetime | None:
    found = [child for child in root.iterchildren() if name_of(child)[1] == "asOf"]
    if not found:
        return None
    try:
        return read_time(text_of(found[0]))
    except ValueError:
        raise Refusal("badRequest", "The asOf must be a time, as 2026-03-01T12:00:00Z.") from None


def _locations(root: Element) -> tuple[Location, ...]:
    """Those that can be read. Section 8.3.1: a server takes the first whose profile it understands; one that cannot be
    read is passed over for the next, because somebody needs help there."""
    given = _children(root, "location")
    if not given:
        raise Refusal("badRequest", "The request must have a location.")
    if len(given) > MAX_LOCATIONS:
        raise Refusal("badRequest", f"The request has over {MAX_LOCATIONS} locations.")
    ids = [id_ for location in given if (id_ := _token(location.get("id"))) is not None]
    if len(set(ids)) < len(ids):
        raise Refusal("badRequest", "Two locations have the same id.")
    read: list[Location] = []
    refusal: Refusal | None = None
    for location in given:
        try:
            one = _location(location)
        except UnusableShape as error:
            refusal = refusal or Refusal("locationInvalid", str(error))
        else:
            read += [one] if one is not None else []
    if not read:
        raise refusal or Refusal(
            "locationProfileUnrecognized",
            f"The location profiles known here are {' and '.join(PROFILES)}.",
            tuple(dict.fromkeys((location.get("profile") or "").strip() for location in given)),
        )
    return tuple(read)


def _location(location: Element) -> Location | None:
    """None for a profile that is not known. Raises UnusableShape."""
    shapes = [child for child in location.iterchildren() if is_geodetic(child)]
    addresses = [child for child in location.iterchildren() if is_civic(child)]
    profile = (location.get("profile") or "").strip()
    if not profile:
        profile = PROFILES[0] if shapes else PROFILES[1]
    if profile not in PROFILES:
        if _PROFILE.fullmatch(profile) is None:
            raise UnusableShape("A location's profile must be a name, as geodetic-2d.")
        return None
    id_ = _token(location.get("id"))
    if profile == "geodetic-2d":
        if len(shapes) != 1:
            raise UnusableShape("A location of the profile geodetic-2d must hold one shape.")
        return Location(id_, read_shape(shapes[0]))
    if len(addresses) != 1:
        raise UnusableShape("A location of the profile civic must hold one civicAddress.")
    address = read_address(addresses[0])
    return Location(id_, address.shape, address)
