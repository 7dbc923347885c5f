from __future__ import annotations

import pytest
from mined import ALL_ABSENT, RADIUS, STYLOID, ULNA, radius, read

from pipeline.region import Region


@pytest.mark.parametrize(
    "text",
    [
        "Left wrist. No acute fracture or dislocation.",
        "Normal radiographs of the left wrist.",
        "Left wrist: no evidence of fracture.",
        "XR left wrist. Unremarkable.",
        "Left wrist. No bony injury.",
        "Left wrist. The bones are intact.",
        "Left wrist. Neither fracture nor dislocation is demonstrated.",
        "Left wrist. No fracture is identified.",
        "Left wrist. A fracture is not seen.",
    ],
)
def test_a_general_denial_marks_every_bone_absent(text):
    assert read(text) == ALL_ABSENT


def test_a_wrist_as_a_whole_is_not_said_to_be_whole():
    assert read("Left wrist. Ranked by the wrist as a whole.") == {}
    assert read("Left wrist. The ulna is whole.") == {ULNA: "absent"}


def test_a_bone_that_is_denied_alone_says_nothing_of_the_others():
    assert read("Left wrist. No fracture of the distal ulna.") == {ULNA: "absent"}
    assert read("Left wrist. The ulnar styloid is intact.") == {STYLOID: "absent"}
    assert read("Left wrist. No scaphoid fracture.") == {}
    assert read("Left wrist. The carpal bones are normal.") == {}
    assert read("Left wrist. Normal alignment. Normal mineralization.") == {}


def test_what_is_denied_besides_a_fracture_is_not_the_fracture():
    assert (
        radius("Left wrist. No displacement of the distal radius fracture.").fracture == "present"
    )
    assert radius("Left wrist. Distal radius fracture without callus.").healing is None
    text = "Left wrist. No change in the previously seen fracture of the distal radius."
    assert radius(text).fracture == "present"


@pytest.mark.parametrize(
    "text",
    [
        "Left wrist. Possible fracture of the distal radius.",
        "Left wrist. A fracture of the distal radius cannot be excluded.",
        "Left wrist. Cannot exclude distal radius fracture.",
        "Left wrist. Cortical irregularity may represent a distal radius fracture.",
        "Left wrist. Lucency suspicious for fracture of the distal radius.",
        "Left wrist: ?# distal radius.",
        "Left wrist. Findings are concerning for a distal radius fracture.",
        "Left wrist. Questionable distal radius fracture.",
        "Left wrist. Distal radius fracture is suspected.",
    ],
)
def test_a_doubt_is_possible_neither_present_nor_absent(text):
    assert radius(text).fracture == "possible"


def test_a_doubt_about_the_age_of_a_fracture_is_no_doubt_of_it():
    found = radius("Left wrist. Fracture of the distal radius, likely old.")
    assert (found.fracture, found.healing) == ("present", "healed")


@pytest.mark.parametrize(
    "text",
    [
        "I find nothing to suggest a fracture.",
        "There was a question of a fracture: none is present.",
        "The wrist is free of fracture.",
        "The bones are undamaged.",
        "Fracture? None.",
        "Nothing acute.",
    ],
)
def test_a_denial_may_be_said_in_many_ways(text):
    assert read(f"Left wrist. {text}") == ALL_ABSENT


@pytest.mark.parametrize(
    ("text", "bones"),
    [
        ("Neither the radius nor the ulna is broken.", {RADIUS, ULNA}),
        ("Neither radius nor ulna shows a fracture.", {RADIUS, ULNA}),
        ("The ulna is normal, styloid included.", {ULNA, STYLOID}),
        ("The ulna is intact including its styloid.", {ULNA, STYLOID}),
        ("Nothing at ulna or ulnar styloid.", {ULNA, STYLOID}),
        ("Distal ulna and its styloid are normal.", {ULNA, STYLOID}),
        ("Ulnar metaph: no.", {ULNA}),
        ("The ulna is not broken.", {ULNA}),
        ("No fracture of the radius, the ulna or the carpal bones.", set(Region)),
    ],
)
def test_what_is_whole_is_said_of_every_bone_that_is_named(text, bones):
    assert read(f"Left wrist. {text}") == dict.fromkeys(bones, "absent")


@pytest.mark.parametrize(
    "text",
    [
        "The lucency in the distal radius is the physis and may not be mistaken for a fracture.",
        "The apparent fracture of the distal radius is an artefact.",
        "A buckle fracture of the distal radius cannot be made out.",
    ],
)
def test_what_only_looks_like_a_fracture_is_none(text):
    assert radius(f"Left wrist. {text}").fracture in ("absent", "not_mentioned")


def test_a_disease_that_heals_is_no_fracture():
    text = "Left wrist. Healing rickets with cupping of the distal radius. No fracture."
    assert read(text) == ALL_ABSENT


@pytest.mark.parametrize(
    "text",
    [
        "The wrist, which is fully shown on these films, is normal.",
        "The wrist has not been broken.",
        "I cannot see a fracture.",
        "Regular age-appropriate depiction of the bones.",
        "No proof of a bony injury.",
        "Fracture not detectable.",
        "Fracture? No. Dislocation? No.",
        "Bones, joints and soft tissues are normal.",
        "It is entirely normal.",
        "Nothing abnormal detected.",
    ],
)
def test_a_wrist_is_normal_in_the_words_of_many_departments(text):
    assert read(f"Left wrist. {text}") == ALL_ABSENT


@pytest.mark.parametrize(
    ("text", "bones"),
    [
        ("The ulna shows no fracture, nor does the ulnar styloid.", {ULNA, STYLOID}),
        ("Ulna without fracture, styloid process without fracture.", {ULNA, STYLOID}),
        ("The ulna's fine and so is its styloid.", {ULNA, STYLOID}),
        ("The ulna has escaped injury, as has its styloid.", {ULNA, STYLOID}),
        ("Neither the ulna nor its styloid has suffered.", {ULNA, STYLOID}),
        ("The ulna, styloid included, is unremarkable.", {ULNA, STYLOID}),
        ("Ulna and ulnar styloid without pathological findings.", {ULNA, STYLOID}),
        ("Ulna: shaft and distal metaphysis intact.", {ULNA}),
        ("Distal ulna of normal appearance.", {ULNA}),
        ("No abnormality of the distal ulna.", {ULNA}),
        (
            "The radius, the ulna including the styloid and the carpal bones are intact.",
            set(Region),
        ),
        ("Wrist joint and distal forearm bones: no fracture.", set(Region)),
    ],
)
def test_a_bone_is_whole_in_the_words_of_many_departments(text, bones):
    assert read(f"Left wrist. {text}") == dict.fromkeys(bones, "absent")


@pytest.mark.parametrize(
    "text",
    [
        "otherwise no fracture.",
        "nil else bony.",
        "otherwise regular findings.",
        "no other injury.",
        "remaining bones, joints and soft tissues normal.",
        "further bony lesions are not recognizable.",
    ],
)
def test_what_else_is_denied_is_denied_of_the_bones_that_were_not_named(text):
    expected = {RADIUS: "present", ULNA: "absent", STYLOID: "absent"}
    assert read(f"Left wrist. Buckle fracture of the distal radius, {text}") == expected


@pytest.mark.parametrize(
    "text",
    [
        "Physis of the distal ulna normal.",
        "The volar cortex of the distal radius is intact while the dorsal cortex is broken.",
        "No associated displacement.",
        "No previous fracture.",
        "I disagree that the wrist is normal: the distal radius is broken.",
        "Buckle fracture of the distal radius without abnormality of the joint.",
    ],
)
def test_what_is_normal_beside_a_fracture_makes_no_bone_whole(text):
    found = read(f"Left wrist. Buckle fracture of the distal radius. {text}")
    assert found == {RADIUS: "present"}


@pytest.mark.parametrize(
    "text",
    [
        "A Salter-Harris I fracture of the distal radius is difficult to exclude.",
        "A fracture of the distal radius remains a possibility.",
        "The distal radius is less clear; an undisplaced fracture is possible.",
        "I am not certain whether there is a fracture of the distal radius.",
        "Lateral view raises suspicion of an infraction of the distal radius.",
        "Doubtful fracture line in the distal radius.",
        "Distal radius fracture questionable.",
    ],
)
def test_a_doubt_may_be_said_in_many_ways(text):
    assert radius(f"Left wrist. {text}").fracture == "possible"


@pytest.mark.parametrize(
    "text",
    [
        "Is there a fracture? There isn't.",
        "?# \nNil found.",
        "Any fracture? Nil.",
        "Fracture - no. Dislocation - no.",
        "Question: fracture? Answer: none.",
    ],
)
def test_a_question_is_answered_for_the_whole_wrist(text):
    assert read(f"Left wrist. {text}") == ALL_ABSENT


@pytest.mark.parametrize(
    "text",
    [
        "Was the distal radius broken? It was not.",
        "You ask whether the distal radius is fractured. I can find no evidence of that.",
        "The question was one of a torus fracture of the radius. I see none.",
        "Suspected fracture of the distal radius. Such an injury is not to be found.",
        "Q: distal radius fracture? A: No.",
        "Distal radius fracture? Not seen.",
    ],
)
def test_a_question_is_answered_for_the_bone_that_it_names(text):
    assert read(f"Left wrist. {text}") == {RADIUS: "absent"}


@pytest.mark.parametrize(
    "text",
    [
        "Distal radius fracture? Yes.",
        "Is there a fracture of the distal radius? Yes, a torus fracture.",
        "You ask whether there is a fracture. There is one, of the distal radius.",
        "Buckle fracture of the distal radius. Displacement? There is none.",
        "Fracture of the distal radius. Any angulation? No.",
        "Distal radius fracture with mild displacement. Dislocation? None.",
    ],
)
def test_an_answer_may_also_be_yes_or_be_of_something_else(text):
    assert radius(f"Left wrist. {text}").fracture == "present"


@pytest.mark.parametrize(
    "text",
    [
        "The radius is not fractured, nor is the ulna, nor the styloid.",
        "Radius, ulna and styloid all escaped.",
        "The distal radius has come through unscathed, ulna and styloid as well.",
        "Not one of the bones is fractured.",
        "None of the bones is broken.",
        "No bone of the wrist is broken.",
        "All bones are whole.",
        "Every bone in this wrist is intact.",
        "The skeleton shows no break in continuity.",
        "Fracture has been excluded.",
        "All bones appear healthy.",
        "I have not found a fracture.",
        "Radiographs fail to reveal a fracture.",
        "Fracture signs: none.",
        "The bones are unbroken.",
        "We do not see a fracture.",
    ],
)
def test_a_whole_wrist_is_denied_in_plain_words(text):
    assert read(f"Left wrist. {text}") == ALL_ABSENT


@pytest.mark.parametrize(
    "text",
    [
        "A fracture of the distal radius is not depicted.",
        "A buckle fracture of the distal radius could not be proven.",
        "A break of the distal radius cannot be demonstrated.",
        "Fracture of the distal radius is not in evidence.",
        "A fracture of the distal radius was ruled out.",
        "The distal radius metaphysis is not reached by the fracture.",
    ],
)
def test_a_fracture_of_the_radius_is_denied_in_plain_words(text):
    assert read(f"Left wrist. {text}") == {RADIUS: "absent"}


@pytest.mark.parametrize(
    "text",
    [
        "Buckle fracture of the distal radius with sparing of the ulna and ulnar styloid.",
        "Fracture of the distal radius. Nothing else is broken.",
        "Torus fracture of the radius. Nor is any other bone broken.",
        "Torus fracture of the radius. None of the other bones is fractured.",
        "Buckle fracture of the distal radius. Ulna normal from end to end, styloid included.",
    ],
)
def test_a_fracture_spares_the_other_bones(text):
    assert read(f"Left wrist. {text}") == {RADIUS: "present", ULNA: "absent", STYLOID: "absent"}


def test_only_the_bones_that_are_spared_are_whole():
    spared = "Left wrist. Fracture of the distal radius, not involving the ulna."
    assert read(spared) == {RADIUS: "present", ULNA: "absent"}
    physis = "Left wrist. Buckle fracture of the distal radius sparing the physis."
    assert read(physis) == {RADIUS: "present"}
    part = (
        "Left wrist. Buckle fracture of the distal radius; the ulna with its styloid is untouched."
    )
    assert read(part) == {RADIUS: "present", ULNA: "absent", STYLOID: "absent"}
    broken = (
        "Left wrist. Fracture of the distal radius plus avulsion fracture of the ulnar styloid."
    )
    assert read(broken) == {RADIUS: "present", STYLOID: "present"}


def test_a_denial_in_particular_of_one_bone_is_one_of_all():
    text = "Left wrist. Avulsion of the ulnar styloid. Otherwise no fracture, in particular not of "
    assert read(text + "the radius.") == {RADIUS: "absent", ULNA: "absent", STYLOID: "present"}


def test_a_bone_that_has_grown_bent_is_not_broken():
    text = "Left wrist. Bowing of the distal radius, features of Madelung deformity. No fracture."
    assert read(text) == ALL_ABSENT
    assert radius("Left wrist. Plastic bowing of the distal radius.").type == "plastic_bowing"


def test_of_another_part_of_the_body_nothing_is_learnt():
    text = "Left wrist. Buckle fracture of the distal radius. Hand: no fracture."
    assert read(text) == {RADIUS: "present"}
