"""What one sentence of a report states: which bones, broken or not, and in what way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from pipeline.bone import Bone, NamedBone, bones_in, names_of
from pipeline.clauses import Clauses
from pipeline.denial import concludes, general_denial, is_anaphoric
from pipeline.findings import Fracture, Healing
from pipeline.fracture_details import Details, details_in
from pipeline.head import Head, heads_in, tight_bones
from pipeline.own_details import own_details
from pipeline.region import Laterality
from pipeline.side import sides_in
from pipeline.stance import stance_of
from pipeline.whole_bones import whole_bones

__all__ = ["Statement", "statements"]


@dataclass(frozen=True)
class Statement:
    """One thing said.

    ``fracture`` None is a remark on a fracture that was named before ("callus is seen"). Without
    ``bones`` a denial is about the whole wrist, anything else about what was named before.
    ``reach`` of a denial: ``all``, ``acute`` (of new or displaced fractures only), ``rest`` (of
    what was not named) or ``asked`` (of what the sentence before asked: "There is none."). One
    that ``concludes`` is of the whole wrist without any limit. A ``plural`` remark is about all
    that were named ("neither is displaced"), an ``implied`` one tells of a fracture though it
    names none ("ulna: healed"). ``past`` is a fracture that is only said to have been ("known
    previous fracture").
    """

    fracture: Fracture | None
    bones: tuple[Bone, ...] = ()
    sides: frozenset[Laterality] = frozenset()
    reach: str = "all"
    details: Details = field(default_factory=Details)
    plural: bool = False
    implied: bool = False
    past: bool = False
    concludes: bool = False


def statements(words: str) -> tuple[Statement, ...]:
    """Read one flattened sentence (`pipeline.passage.flatten`).

    Cues of denial, doubt and history reach forward to the next terminator and backward from
    the end of a clause, after ConText (Harkema et al., 2009), with the cues of wrist reports.
    """
    if answered := _ANSWERED.fullmatch(words):
        return _answer(answered)
    elsewhere = _NOT_THERE.search(words)
    if elsewhere and heads_in(words[: elsewhere.start()], ()):
        words = words[: elsewhere.start()] + words[elsewhere.end() :]
    shared = _SHARED.search(words)
    if shared:
        words, tail = words[: shared.start()], words[shared.end("link") :]
        remarks = (
            replace(s, plural=True, sides=s.sides or sides_in(words)) for s in _remark(tail, ())
        )
        return (*statements(words), *remarks)
    named = bones_in(words)
    intact = whole_bones(words, named)
    whole = {bone for group in intact for bone in group.bones}
    bones = tuple(bone for bone in named if bone not in whole)
    heads = heads_in(words, bones)
    heads = tuple(head for head in heads if not head.weak or len(heads) == 1)
    # "the ulna is not broken" is said already
    heads = tuple(h for h in heads if not any(g.start <= h.start < g.end for g in intact))
    clauses = Clauses(words, bones, heads)
    said = [Statement(Fracture.ABSENT, names_of(group.bones), sides_in(words)) for group in intact]
    for number in range(len(heads)):
        said += _read(clauses, number)
    if len(heads) > 1 and _HAVE.match(words, heads[-1].end):
        said = _alike(words, heads, said)
    reach = general_denial(words, named)
    if reach == "rest" or (reach and not intact):
        said.append(Statement(Fracture.ABSENT, (), sides_in(words), reach))
    said = [_concluding(words, s) for s in said]
    if is_anaphoric(words):
        said.append(Statement(Fracture.ABSENT, (), sides_in(words), "asked"))
    if not heads:
        # "no displacement, ulna intact"
        remarked = words[: intact[0].bones[0].start] if intact else words
        if not said or (intact and not bones_in(remarked)):
            said += _remark(remarked, () if intact else named)
    return tuple(said)


_NOT_THERE = re.compile(
    r"\bnot\s+(?:where|in|of|at|through|the)\b[^.;]{0,60}?,?\s+but\s+(?=(?:rather\s+)?(?:in|of|at"
    r"|through|lies|the)\b)"
)
"""Where a fracture is not: "not at the radius, but in the metacarpal"."""
_ANSWERED = re.compile(
    r"(?P<asked>[^?]{3,200})\?[\s\"')]*(?:-+\s*)?(?:(?:ans(?:wer)?|a|reply|response|result)"
    r"\s*[:.=-]+\s*)?(?P<said>(?P<no>no|none|nil|nope|negative|(?:\w+\s+)?not(?=\s*(?:[.,]|$))"
    r"|not\s+(?:seen|present|fractured"
    r"|broken)|absent|there\s+(?:isn't|is\s+(?:not|none))|(?:it|they)\s+(?:is|was|are|were|has|have"
    r"|does|do)(?:\s+not|n't)(?=\s*(?:[.]|$)))|yes|yeah|positive|present)\b(?P<more>[^?]*)"
)
"""A question with its answer: "Fracture of the ulna? Ans: No."."""
_ASKING = re.compile(
    r"^\W*(?:(?:query|question|q)\b[^:.?]{0,40}:\s*)?(?:(?:query|\?|possible|suspected|whether|if"
    r"|is\s+there|are\s+there|any"
    r"|an?)\s+)*"
)
_NOT_ASKED = re.compile(
    r"\b(?:displac\w+|angul\w+|callus|dislocat\w+|swelling|swollen|union|united|healed|healing"
    r"|extend\w*|involv\w*|hardware|wires?)\b"
)


def _answer(answered: re.Match[str]) -> tuple[Statement, ...]:
    """Return what a question states together with its answer."""
    asked, more = _ASKING.sub("", answered["asked"]), answered["more"]
    if not answered["no"]:
        joint = " " if more[:1].isalnum() else ""
        return statements(f"{asked.rstrip(' .')}{joint}{more}")
    bones = bones_in(asked)
    behind = statements(more.lstrip(" ,.;:-")) if any(c.isalpha() for c in more) else ()
    if not heads_in(asked, bones) or _NOT_ASKED.search(asked):
        return behind
    said = Statement(Fracture.ABSENT, names_of(bones), sides_in(asked))
    return (said, *behind)


def _concluding(words: str, said: Statement) -> Statement:
    whole = said.fracture is Fracture.ABSENT and not said.bones and said.reach == "all"
    return replace(said, concludes=True) if whole and concludes(words) else said


def _read(clauses: Clauses, number: int) -> tuple[Statement, ...]:
    """Return what one head states, each bone apart where each has its own angle."""
    head = clauses.heads[number]
    status, reach = stance_of(clauses.words, head, clauses.following(number))
    if status is Fracture.ABSENT:
        said = _denied(clauses, number, reach)
    else:
        said = _found(clauses, number, status) if status else None
    if said is None:
        return ()
    return _apportioned(clauses.words, clauses.window(number), clauses.bones, said)


def _denied(clauses: Clauses, number: int, reach: str) -> Statement | None:
    """Return a denial, or None where it says nothing of the bones that are asked for."""
    words, head = clauses.words, clauses.heads[number]
    if _CERTAIN_ONE.search(words, 0, head.start) and not bones_in(words):
        return None  # "the fracture of last year is not shown" says nothing of others
    if _NONUNION.match(words, head.start):
        return None  # nor does "no non-union"
    located = clauses.located(number, denied=True)
    behind = [b for b in clauses.bones if b.start >= head.end]
    rest = reach == "rest" and not behind and not tight_bones(words, head, clauses.bones)
    if behind and _IN_PARTICULAR.search(words, head.end, behind[0].start):
        located = ()
    # "a fracture of the radius and no other fracture", "wrist and distal forearm: no fracture"
    if rest or _OF_WRIST.search(words):
        located = ()
    if not located and _OF_OTHER_PART.search(words):
        return None
    if not located and (head.weak or (head.type and not head.any_of(words))):
        return None  # "no buckle fracture" says nothing of other fractures
    if not located and "line" in head.kinds:
        details = Details(healing=Healing.HEALED) if "longer" in words else Details()
        absent = None if details else Fracture.ABSENT
        return Statement(absent, (), sides_in(words), "acute", details)
    return Statement(Fracture.ABSENT, located, _sides_of(clauses, number), reach)


def _found(clauses: Clauses, number: int, status: Fracture) -> Statement | None:
    """Return a fracture that is there or may be, or what is only remarked on one."""
    words, head = clauses.words, clauses.heads[number]
    located, window = clauses.located(number, denied=False), clauses.window(number)
    if not located and not bones_in(words):
        # "Fragment adjacent to the ulnar styloid, suspicious for a fracture."
        located = names_of(bones_in(words[: head.start], asides=True)[-1:])
    if set(head.kinds) == {"plastic_bowing"} and _DEVELOPED.search(words):
        return None
    line = "line" in head.kinds
    if head.needs_denial and not (line and located and status is Fracture.POSSIBLE):
        return Statement(None, located, details=details_in(words, window), implied=line)
    if head.weak and not located:
        return None
    details = details_in(words, window, head.end, head.type)
    if details.healing is None and _ALL_ACUTE.match(words):
        details = replace(details, healing=Healing.ACUTE)
    told = _PAST.search(words, 0, head.start) or _PAST_BEHIND.match(words, head.end)
    # a question at the very start may be the referrer's
    past = bool(told or words.startswith("?")) and not _SEEN_STILL.search(words)
    status = Fracture.POSSIBLE if head.weak else status
    return Statement(status, located, _sides_of(clauses, number), details=details, past=past)


def _sides_of(clauses: Clauses, number: int) -> frozenset[Laterality]:
    start, end = clauses.window(number)
    return sides_in(clauses.words[start:end]) or sides_in(clauses.words)


_HAVE = re.compile(
    r"\s+(?:(?:of|through)\s+the\s+[\w\s]{1,25}\s)?(?:have|are|were|remain|show|both)\b"
)


def _alike(words: str, heads: tuple[Head, ...], said: list[Statement]) -> list[Statement]:
    """Return statements that share a predicate with it: "the one and the other have healed"."""
    between = words[heads[-2].end : heads[-1].start]
    if not re.search(r"\band\b", between) or re.search(r"[;:.]|\b(?:with|is|has|no)\b", between):
        return said
    details = details_in(words, (heads[-1].end, len(words)))
    details = replace(details, angulation_deg=None)
    broken = (Fracture.PRESENT, Fracture.POSSIBLE)
    return [
        replace(s, details=s.details.completed_by(details)) if s.fracture in broken else s
        for s in said
    ]


_OTHER_PART = r"(?:hands?|elbows?|upper\s+arm|shoulder|ankle|foot|feet|knee|spine|chest)"
_OF_OTHER_PART = re.compile(
    rf"^\W*(?:left\s+|right\s+)?{_OTHER_PART}\s*[:,-]|\b(?:of|in|at)\s+(?:the\s+)?(?:left\s+"
    rf"|right\s+)?{_OTHER_PART}\b(?!\s*(?:or|and|/|,)\s+(?:the\s+)?wrist)"
)
"""Of another part of the body: "hand: no fracture"."""
_IN_PARTICULAR = re.compile(
    r"\b(?:in\s+particular|particularly|especially|specifically|above\s+all|notably"
    r"|least\s+of\s+all"
    r"|and\s+certainly)\b"
)
_NONUNION = re.compile(r"(?:non|un)-?\s?un(?:ion|ited)")
_CERTAIN_ONE = re.compile(
    r"\b(?:the|this|that)\s+(?:[\w-]+\s+)*?(?:previous(?:ly)?|prior|known|earlier|old|(?:left"
    r"|right)-sided)\s+(?:[\w-]+\s+){0,3}$"
)
_OF_WRIST = re.compile(
    r"\bwrist(?:\s+joint)?\s*(?:,|and|&|or)\s[^.;]{0,40}:\s*no\b|\bno\b[^.;:]{0,60}\b(?:and"
    r"|or)\s+(?:the\s+)?wrist\b"
)
_SHARED = re.compile(
    r"(?P<link>\s*(?:,|;|-|\band|\bbut)\s+(?:and\s+)?)(?:both|neither|all)\s+"
    r"(?:(?:of\s+(?:which|them|these)|bones|fractures|injuries|fragments|sites)\s+)?"
    r"(?:is|are|remain\w*|shows?|appear\w*|has|have|being|in\s+\w+\s+position|un\w+|non\w+|min\w+"
    r"|mild\w*|slight\w*|heal\w+|well|now|displaced|angulated|with)\b"
    r"(?!\s+(?:intact|normal|(?:the|its)\s+(?:distal|ulnar?|radius|styloid)))"
)
"""Where a sentence turns to all its fractures: ", both undisplaced"."""

_ALL_OF_THEM = re.compile(r"^\s*(?:both|neither|they|these|all)\b|\bboth\s*[.]?\s*$")
_ALL_ACUTE = re.compile(r"(?:acute|fresh)\s[^:,;.]{0,40}:")
_PAST = re.compile(
    r"\b(?:(?:known\s+)?(?:previous|prior)|supposed|alleged|putative|so-called|reportedly"
    r"|diagnosis(?:\s+of|\s+was|,|:)?|(?:sent|referred|transferred|presented)\s+(?:\w+\s+)?(?:with"
    r"|for"
    r"|as|under)"
    r"|allegedly|by\s+(?:report|history|account)|according\s+to\s+[^.;]{1,40}?|(?:had|sustained"
    r"|suffered)(?:\s+an?)?"
    r"|(?:(?:condition|state|status)\s+(?:after|following|post)|s/p)(?!\s+(?:\w+\s+)?(?:reduc"
    r"|fixat|manipul|oper|k-|wir|pinn|cast|remov)))\s+(?:[\w-]+\s+){0,3}?$"
)
_PAST_BEHIND = re.compile(
    r"[^;:.]{0,50}?\b(?:years?|months?|weeks?|days?)\s+(?:ago|back|before|previously|earlier)\b"
    r"|[^;:.]{0,40}?\bat\s+the\s+age\s+of\b"
    r"|[^;:.]{0,40}?\b(?:last|in)\s+(?:year|19\d\d|20\d\d)\b"
    r"|[^,;:.]{0,40}?\b(?:was|were|had\s+been)\s+(?:\w+ly\s+)?(?:suspected|queried|questioned"
    r"|considered|thought|raised|diagnosed|reported|described|assumed|mentioned|feared|supposed"
    r"|postulated)\b"
)
"""What makes a fracture one that was, or was thought of, before."""
_SEEN_STILL = re.compile(
    r"\b(?:again|still|seen|visible|noted|described|demonstrated|identified|unchanged|stable"
    r"|persist\w*"
    r"|remain\w*|now|line|heal\w+|callus|align\w+|position)\b"
)
_DEVELOPED = re.compile(
    r"\b(?:madelung|developmental|congenital|dysplas\w+|rickets|ricket\w+|dyschondro\w+|exostos\w+"
    r"|neurofibro\w+|leri)\b"
)
"""Where a bone that is bowed has grown so."""
_MENDING = re.compile(r"\b(?:heal(?:ed|ing)|united|remodel\w+|callus|bridg\w+|union)\b")
_DISEASED = re.compile(
    r"\b(?:rickets|infect\w+|osteomyelitis|lesion|cyst|fibroma|defect|tumou?r)\b"
)
_BENT = re.compile(r"\bangulat\w+|\bresidual\b|\bapex\b")


def _remark(words: str, bones: Sequence[NamedBone]) -> Iterator[Statement]:
    details = details_in(words, (0, len(words)), of_bone=bool(bones))
    if details:
        said = Statement(None, names_of(bones), sides_in(words), details=details)
        plural = bool(_ALL_OF_THEM.search(words))
        said = replace(said, plural=plural, implied=_implies(words, details))
        yield from _apportioned(words, (0, len(words)), bones, said)


def _implies(words: str, details: Details) -> bool:
    """Tell whether a remark on a bone makes sense only where it is, or was, broken."""
    if _DISEASED.search(words):
        return False
    stage = details.healing in (Healing.HEALING, Healing.HEALED) and _MENDING.search(words)
    return bool(stage or (details.angulation_deg is not None and _BENT.search(words)))


def _apportioned(
    words: str, window: tuple[int, int], bones: Sequence[NamedBone], said: Statement
) -> tuple[Statement, ...]:
    """Return a statement on several bones apart where each has its own angle or displacement."""
    own = own_details(words, window, bones, said.bones, said.details)
    return tuple(replace(said, bones=(b,), details=own[b]) for b in said.bones) if own else (said,)
