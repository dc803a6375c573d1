import pytest

from libs.places.safe_xml import MAX_BYTES, MAX_DEPTH, MAX_ELEMENTS, NotXml, name_of, read_xml, text_of


def test_what_is_read_has_neither_comments_nor_instructions() -> None:
    root = read_xml(b"<?xml version='1.0'?><!-- a --><a xmlns='urn:x'><?php echo 1 ?> 1 <!-- b --> 2 <b/></a>")
    assert name_of(root) == ("urn:x", "a")
    assert text_of(root) == "1 2"
    assert [name_of(child) for child in root] == [("urn:x", "b")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_every_encoding_that_is_declared_is_read(encoding: str) -> None:
    assert text_of(read_xml(f'<?xml version="1.0" encoding="{encoding}"?><a>é</a>'.encode(encoding))) == "é"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    "document",
    [
        "<!DOCTYPE a><a/>",
        '<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>',
        '<!DOCTYPE a [<!ENTITY e "x">]><a b="&e;"/>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        '<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1:1/"> %p;]><a/>',
    ],
)
def test_a_document_type_declaration_is_refused_in_whatever_encoding(document: str, encoding: str) -> None:
    with pytest.raises(NotXml):
        read_xml(f'<?xml version="1.0" encoding="{encoding}"?>{document}'.encode(encoding))


def test_a_document_is_taken_up_to_its_limits_and_not_beyond() -> None:
    read_xml(b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH)
    read_xml(b"<a>" + b"<b/>" * (MAX_ELEMENTS - 1) + b"</a>")
    read_xml(b"<a>" + b"x" * (MAX_BYTES - 7) + b"</a>")
    for content, reason in (
        (b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1), "deeply"),
        (b"<a>" + b"<b/>" * MAX_ELEMENTS + b"</a>", "elements"),
        (b"<a>" + b"x" * (MAX_BYTES - 6) + b"</a>", "KiB"),
    ):
        with pytest.raises(NotXml, match=reason):
            read_xml(content)


@pytest.mark.parametrize(
    "content", [b"", b" ", b"x", b"<a>", b"<a></b>", b"<a/><b/>", b"<a>&e;</a>", b"<a>\x00</a>", b"\xff"]
)
def test_what_is_not_well_formed_is_refused_without_being_repeated(content: bytes) -> None:
    with pytest.raises(NotXml, match="well-formed"):
        read_xml(content)
    with pytest.raises(NotXml) as refused:
        read_xml(b"<Zebedee>")
    assert "Zebedee" not in str(refused.value)
