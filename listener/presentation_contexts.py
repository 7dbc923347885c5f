"""The presentation contexts that are offered (DICOM PS3.8 section 7.1.1.13)."""

from __future__ import annotations

from functools import cache

from pydicom._uid_dict import UID_dictionary
from pynetdicom.presentation import AllStoragePresentationContexts, PresentationContext
from pynetdicom.sop_class import Verification

from listener.commitment import SOP_CLASS as STORAGE_COMMITMENT
from listener.commitment import TRANSFER_SYNTAXES
from listener.step_terms import PULL, PUSH, QUERY, WATCH
from listener.study_root import FIND, GET, MOVE

__all__ = ["supported_contexts"]


@cache
def supported_contexts() -> tuple[PresentationContext, ...]:
    """Return Verification, every storage SOP class, retired ones too, with all syntaxes, and more.

    What a PACS forwards must not fail for want of a context; what is not used is filtered later.
    The storage classes are there in both roles, since a C-GET sends on its own association. So is
    storage commitment: a peer asks us, or tells us what we asked.
    """
    named = {
        uid
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in name and "Commitment" not in name
    }
    stored = {str(c.abstract_syntax) for c in AllStoragePresentationContexts} | named
    contexts = []
    for uid in [str(Verification), *sorted(stored - {_MEDIA_DIRECTORY})]:
        context = PresentationContext()
        context.abstract_syntax = uid
        context.transfer_syntax = list(_TRANSFER_SYNTAXES)
        if uid in stored:
            context.scu_role = context.scp_role = True
        contexts.append(context)
    for uid in (STORAGE_COMMITMENT, FIND, MOVE, GET, PUSH, WATCH, PULL, QUERY):
        context = PresentationContext()
        context.abstract_syntax = uid
        context.transfer_syntax = list(TRANSFER_SYNTAXES)
        if uid == STORAGE_COMMITMENT:
            context.scu_role = context.scp_role = True
        contexts.append(context)
    return tuple(contexts)


_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
_FIRST_CHOICES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
# no data sets (MIME, XML, Papyrus), and those that are only better than nothing
_NO_SYNTAXES = frozenset({"1.2.840.10008.1.2.6.1", "1.2.840.10008.1.2.6.2", "1.2.840.10008.1.20"})
_LAST_CHOICES = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2")
_OTHERS = [
    uid
    for uid, (_, kind, *_) in UID_dictionary.items()
    if kind == "Transfer Syntax" and uid not in {*_FIRST_CHOICES, *_LAST_CHOICES, *_NO_SYNTAXES}
]
_TRANSFER_SYNTAXES = (*_FIRST_CHOICES, *_OTHERS, *_LAST_CHOICES)
