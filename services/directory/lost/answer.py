"""What is said, as XML of RFC 5222's schema (section 15): its elements in its order, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from lxml import etree

from libs.places.pidf import GML
from libs.places.safe_xml import Element
from services.directory.lost.boundary import Boundary
from services.directory.lost.finding import Checked, MappingFound, Warned
from services.directory.lost.refusal import Refusal
from services.directory.lost.request import NAMESPACE

SRS = "urn:ogc:def:crs:EPSG::4326"
NUMBER = "999"
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def errors(source: str, refusal: Refusal) -> bytes:
    root = etree.Element(f"{{{NAMESPACE}}}errors", {"source": source}, nsmap={None: NAMESPACE})
    error = _exception(root, refusal.kind, refusal.message)
    if refusal.kind == "locationProfileUnrecognized":
        error.set("unsupportedProfiles", " ".join(refusal.profiles))
    return _written(root)


def find_service_response(
    source: str,
    path: Iterable[str],
    mappings: Iterable[Element],
    checked: Checked | None,
    warnings: tuple[Warned, ...],
    used: str | None,
) -> bytes:
    root = _root("findServiceResponse")
    root.extend(mappings)
    if checked is not None:
        _validation(root, checked)
    _common(root, source, path, warnings)
    _location_used(root, used)
    return _written(root)


def mapping(found: MappingFound, source: str, boundary: Boundary | str | None) -> Element:
    """A `<mapping>`; `boundary` is the boundary itself, or the key of one."""
    element = etree.Element(
        f"{{{NAMESPACE}}}mapping",
        {
            "expires": "NO-CACHE" if found.expires is None else _time(found.expires),
            "lastUpdated": _time(found.last_updated),
            "source": source,
            "sourceId": found.source_id,
        },
        nsmap={None: NAMESPACE, "gml": GML},
    )
    _text(element, "displayName", found.name).set(_LANG, "en")
    _text(element, "service", found.service)
    if isinstance(boundary, str):
        attributes = {"source": source, "key": boundary}
        etree.SubElement(element, f"{{{NAMESPACE}}}serviceBoundaryReference", attributes)
    elif boundary is not None:
        _service_boundary(element, boundary)
    _text(element, "uri", found.uri)
    _text(element, "serviceNumber", NUMBER)
    return element


def list_services_response(source: str, path: Iterable[str], services: Iterable[str]) -> bytes:
    root = _root("listServicesResponse")
    _text(root, "serviceList", " ".join(services))
    _common(root, source, path)
    return _written(root)


def list_services_by_location_response(
    source: str, path: Iterable[str], services: Iterable[str], used: str | None
) -> bytes:
    root = _root("listServicesByLocationResponse")
    _text(root, "serviceList", " ".join(services))
    _common(root, source, path)
    _location_used(root, used)
    return _written(root)


def get_service_boundary_response(source: str, boundary: Boundary) -> bytes:
    root = _root("getServiceBoundaryResponse")
    _service_boundary(root, boundary)
    _common(root, source, ())
    return _written(root)


def _root(name: str) -> Element:
    return etree.Element(f"{{{NAMESPACE}}}{name}", nsmap={None: NAMESPACE, "gml": GML})


def _text(parent: Element, name: str, text: str) -> Element:
    element = etree.SubElement(parent, f"{{{NAMESPACE}}}{name}")
    element.text = _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
    return element


def _time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _exception(parent: Element, kind: str, message: str) -> Element:
    return etree.SubElement(parent, f"{{{NAMESPACE}}}{kind}", {"message": message, _LANG: "en"})


def _common(root: Element, source: str, path: Iterable[str], warnings: tuple[Warned, ...] = ()) -> None:
    """Warnings, and the path (section 6), which is mandatory: who was asked before, then this server."""
    if warnings:
        element = etree.SubElement(root, f"{{{NAMESPACE}}}warnings", {"source": source})
        for warning in warnings:
            _exception(element, warning.kind, warning.message)
    element = etree.SubElement(root, f"{{{NAMESPACE}}}path")
    for via in (*path, source):
        etree.SubElement(element, f"{{{NAMESPACE}}}via", {"source": via})


def _location_used(root: Element, used: str | None) -> None:
    if used is not None:
        etree.SubElement(root, f"{{{NAMESPACE}}}locationUsed", {"id": used})


def _validation(root: Element, checked: Checked) -> None:
    element = etree.SubElement(root, f"{{{NAMESPACE}}}locationValidation", nsmap={"ca": checked.namespace})
    for name in ("valid", "invalid", "unchecked"):
        if names := getattr(checked, name):
            _text(element, name, " ".join(f"ca:{one}" for one in names))


def _service_boundary(parent: Element, boundary: Boundary) -> None:
    element = etree.SubElement(parent, f"{{{NAMESPACE}}}serviceBoundary", {"profile": "geodetic-2d"})
    for ring in boundary.rings:
        polygon = etree.SubElement(element, f"{{{GML}}}Polygon", {"srsName": SRS}, nsmap={"gml": GML})
        for name, corners in (("exterior", ring.exterior), *(("interior", inner) for inner in ring.interiors)):
            line = etree.SubElement(etree.SubElement(polygon, f"{{{GML}}}{name}"), f"{{{GML}}}LinearRing")
            etree.SubElement(line, f"{{{GML}}}posList").text = corners


def _written(root: Element) -> bytes:
    written: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
    return written
