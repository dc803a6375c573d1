"""XML from outside, read without doing what it says.

Invariant: nothing is fetched and no entity is expanded, because a document type declaration is refused whole; and what
is read has a bounded size and depth, so that whoever walks through it need not look.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from lxml import etree

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
"""Of elements in each other; a PIDF-LO or LoST message has about ten levels."""
MAX_ELEMENTS = 20_000

Element: TypeAlias = Any
"""An lxml element."""


class NotXml(ValueError):
    """The bytes are no XML that is taken here. The message is a sentence for whoever sent them, and repeats nothing."""


def read_xml(content: bytes) -> Element:
    """The root element, without comments and processing instructions. Raises NotXml."""
    if len(content) > MAX_BYTES:
        raise NotXml(f"The document is over {MAX_BYTES // 1024} KiB.")
    return _read(content, None, MAX_ELEMENTS)


def read_large_xml(content: bytes, *, max_elements: int) -> Element:
    """As `read_xml`, for what is larger than a message: any size, as UTF-8 alone. Raises NotXml."""
    if b"\0" in content or content[:2] in (b"\xfe\xff", b"\xff\xfe"):
        raise NotXml("A document as large as this is taken as UTF-8 alone.")
    # What a tree takes in memory is counted before there is one.
    if content.count(b"<") > 2 * max_elements or content.count(b"=") > 4 * max_elements:
        raise NotXml(f"The document has too many elements: over {max_elements}.")
    return _read(content, "utf-8", max_elements)


def _read(content: bytes, encoding: str | None, max_elements: int) -> Element:
    """In the encoding that it claims, or in this whatever it claims."""
    if b"<!DOCTYPE" in content:
        raise NotXml("A document type declaration is not taken: entities and DTDs have no place in such a document.")
    parser = etree.XMLParser(
        encoding=encoding,
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=encoding is not None,
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
    )
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:  # its own text may repeat what was sent
        raise NotXml(f"The document is not well-formed XML (line {error.lineno or 1}).") from None
    except (etree.LxmlError, ValueError, LookupError):
        raise NotXml("The document is not well-formed XML.") from None
    if root.getroottree().docinfo.doctype:  # in an encoding in which it was not seen above
        raise NotXml("A document type declaration is not taken: entities and DTDs have no place in such a document.")
    _check_size(root, max_elements)
    return root


def _check_size(root: Element, max_elements: int) -> None:
    depth = elements = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        if event == "end":
            depth -= 1
            continue
        depth += 1
        elements += 1
        if depth > MAX_DEPTH:
            raise NotXml(f"The document is nested too deeply: over {MAX_DEPTH} levels.")
        if elements > max_elements:
            raise NotXml(f"The document has too many elements: over {max_elements}.")


def name_of(element: Element) -> tuple[str, str]:
    """Namespace (empty for none) and local name."""
    name = etree.QName(element)
    return name.namespace or "", name.localname


def text_of(element: Element) -> str:
    """The element's own text as a token: without white space around it, and with single spaces within."""
    return " ".join((element.text or "").split())
