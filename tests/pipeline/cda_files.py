"""CDA documents of invented patients."""

from __future__ import annotations

_HEADER = """<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
 <id root="2.25.1"/>
 <code code="18748-4" codeSystem="2.16.840.1.113883.6.1" displayName="Diagnostic imaging report"/>
 <title>Radiology report of Zoe Invented</title>
 <effectiveTime value="20240131101500+0000"/>
 <recordTarget><patientRole><id extension="INVENTED-1"/><patient><name><given>Zoe</given>
  <family>Invented</family></name></patient></patientRole></recordTarget>
 <author><assignedAuthor><assignedPerson><name>Dr Invented</name></assignedPerson></assignedAuthor>
 </author>"""


def clinical_document(*sections: str, related: str = "", signed: str = "", body: str = "") -> bytes:
    """Return a document with these sections, or another body, and its relation and signature."""
    parts = [_HEADER]
    if signed:
        parts.append(
            f'<legalAuthenticator><signatureCode code="{signed}"/><assignedEntity><assignedPerson>'
            "<name>Dr Invented</name></assignedPerson></assignedEntity></legalAuthenticator>"
        )
    if related:
        parts.append(
            f'<relatedDocument typeCode="{related}"><parentDocument><id root="2.25.2"/>'
            "<text>An earlier fracture.</text></parentDocument></relatedDocument>"
        )
    inner = "".join(f"<component>{one}</component>" for one in sections)
    parts.append(f"<component>{body or f'<structuredBody>{inner}</structuredBody>'}</component>")
    return ("".join(parts) + "</ClinicalDocument>").encode()


def section(title: str, narrative: str, more: str = "", kind: str = "") -> str:
    """Return one section; `more` stands behind its narrative: entries, sections within it."""
    code = f'<code code="59776-5" displayName="{kind}"/>' if kind else ""
    heading = f"<title>{title}</title>" if title else ""
    return f"<section>{code}{heading}<text>{narrative}</text>{more}</section>"
