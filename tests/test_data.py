"""What the studies in tests/data are, and that they stay so."""

from __future__ import annotations

import csv
import hashlib
import re
import subprocess
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
from peers import peer

from pipeline.decoder import Decoder
from pipeline.findings import Fracture, collapse_others
from pipeline.gold import gold_reports
from pipeline.mining import RulesMiner
from pipeline.region import Laterality, Region
from pipeline.report import report_text
from training.grazpedwri import Row, View, reading

DATA = Path(__file__).parent / "data"
GOLD = DATA / "gold"
STUDIES = DATA / "studies"
HELD_OUT = Path(__file__).parents[1] / "training" / "held_out_patients.txt"

with (STUDIES / "manifest.csv").open(newline="", encoding="utf-8") as stream:
    MANIFEST = list(csv.DictReader(stream))
IMAGES = [line for line in MANIFEST if line["kind"] == "image"]
REPORTS = [line for line in MANIFEST if line["kind"] == "report"]


@cache
def header(file):
    return pydicom.dcmread(STUDIES / file, stop_before_pixels=True)


def names(lines):
    return [line["file"] for line in lines]


def test_the_manifest_names_every_file_and_no_other():
    found = {str(path.relative_to(STUDIES)) for path in STUDIES.rglob("*.dcm")}
    assert found == set(names(MANIFEST))
    assert len(found) == len(MANIFEST)


def test_all_of_the_test_data_is_small():
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 30e6
    assert sum(path.stat().st_size for path in STUDIES.rglob("*")) < 15e6


def test_only_patients_are_used_on_whom_no_bundle_is_trained():
    lines = HELD_OUT.read_text(encoding="utf-8").splitlines()
    held_out = {line for line in lines if line and not line.startswith("#")}
    used = {line["graz_patient"] for line in IMAGES}
    assert used <= held_out
    assert {int(line["source"].split("_")[0]) for line in IMAGES} == set(map(int, used))


def test_there_are_enough_real_wrists_of_every_kind():
    views = Counter(line["projection"] for line in IMAGES)
    assert 20 <= views["pa"] <= 30
    assert views["lateral"] >= 4
    assert {line["photometric"] for line in IMAGES} == {"MONOCHROME1", "MONOCHROME2"}
    assert {line["bits_stored"] for line in IMAGES} == {"8", "16"}
    assert len({line["transfer_syntax"] for line in IMAGES}) == 7
    assert {line["laterality"] for line in IMAGES} == {"left", "right"}
    assert {header(line["file"]).Modality for line in IMAGES} == {"CR", "DX"}
    assert {line["role"] for line in IMAGES} == {"prior", "query", "lateral"}


@pytest.mark.parametrize("line", MANIFEST, ids=names(MANIFEST))
def test_a_file_is_what_the_manifest_says(line):
    made = header(line["file"])
    assert made.PatientID == line["patient_id"]
    assert made.StudyInstanceUID == line["study_uid"]
    assert made.SOPInstanceUID == line["sop_uid"] == made.file_meta.MediaStorageSOPInstanceUID
    assert pydicom.uid.UID(made.SOPClassUID).name == line["sop_class"]
    assert pydicom.uid.UID(made.file_meta.TransferSyntaxUID).name == line["transfer_syntax"]
    assert made.PatientSex == line["sex"]
    years = int(made.PatientAge[:3]) / (12 if made.PatientAge.endswith("M") else 1)
    assert years <= float(line["age_years"]) + 0.1 < years + 1.1


@pytest.mark.parametrize("line", MANIFEST, ids=names(MANIFEST))
def test_an_identity_is_plainly_invented(line):
    made = header(line["file"])
    assert str(made.PatientName).startswith("Testkind^")
    assert re.fullmatch(r"TEST-\d{4}", made.PatientID)
    assert made.IssuerOfPatientID == "WRISTMIR-TEST"
    # nothing of the data set's own numbers: no file stem, no time hash
    words = str(made)
    for image in IMAGES:
        stem, time_hash = image["source"], image["source"].split("_")[1]
        assert stem not in words
        assert time_hash not in words


def test_every_uid_is_its_own_and_stands_under_the_uuid_root():
    uids = [header(file).SOPInstanceUID for file in names(MANIFEST)]
    uids += {header(file).SeriesInstanceUID for file in names(MANIFEST)}
    uids += {header(file).StudyInstanceUID for file in names(MANIFEST)}
    assert len(set(uids)) == len(uids)
    assert all(re.fullmatch(r"2\.25\.[1-9]\d{0,38}", value) for value in uids)


def test_a_patient_is_the_same_in_all_studies():
    patients = defaultdict(set)
    for file in names(MANIFEST):
        made = header(file)
        patients[made.PatientID].add(
            (str(made.PatientName), made.PatientBirthDate, made.PatientSex)
        )
    assert all(len(identities) == 1 for identities in patients.values())


def test_some_patients_were_seen_twice_and_one_study_shows_both_wrists():
    studies = defaultdict(set)
    sides = defaultdict(set)
    for line in IMAGES:
        studies[line["patient_id"]].add(line["study_uid"])
        if line["projection"] == "pa":
            sides[line["study_uid"]].add(line["laterality"])
    assert sum(len(own) > 1 for own in studies.values()) >= 3
    assert sum(len(shown) == 2 for shown in sides.values()) == 1


def test_spacing_is_told_only_where_it_is_known():
    for line in IMAGES:
        made = header(line["file"])
        assert ("ImagerPixelSpacing" in made) == (made.Modality == "DX")
        assert "PixelSpacing" not in made


def test_the_queries_are_originals():
    queries = [header(line["file"]) for line in IMAGES if line["role"] == "query"]
    assert len(queries) >= 2
    assert all(made.Modality == "DX" and made.Rows > 900 for made in queries)


@pytest.mark.slow
def test_pixels_decode_to_exactly_the_source():
    with Decoder() as decoder:
        for line in IMAGES:
            stored = decoder.pixels(STUDIES / line["file"]).array
            bits = int(line["bits_stored"])
            grey = stored.astype(f"<u{bits // 8}")
            if line["photometric"] == "MONOCHROME1":
                grey = np.iinfo(grey.dtype).max - grey
            assert hashlib.sha256(grey.tobytes()).hexdigest() == line["pixels_sha256"], line["file"]


def test_every_study_has_one_report_that_refers_to_its_images():
    assert Counter(line["study_uid"] for line in REPORTS) == Counter(
        {line["study_uid"]: 1 for line in IMAGES}
    )
    assert len({line["sop_class"] for line in REPORTS}) == 2
    for line in REPORTS:
        (study,) = header(line["file"]).CurrentRequestedProcedureEvidenceSequence
        referenced = {
            item.ReferencedSOPInstanceUID
            for series in study.ReferencedSeriesSequence
            for item in series.ReferencedSOPSequence
        }
        own = {image["sop_uid"] for image in IMAGES if image["study_uid"] == line["study_uid"]}
        assert referenced == own


@pytest.mark.parametrize("line", REPORTS, ids=names(REPORTS))
def test_a_report_says_what_the_classification_says(line):
    report = RulesMiner().mine(report_text(header(line["file"])).text)
    for image in IMAGES:
        if image["study_uid"] != line["study_uid"]:
            continue
        side = Laterality(image["laterality"])
        truth = reading(_row(image))
        found = {
            region: {f.type for f in findings if f.fracture is Fracture.PRESENT}
            for region, findings in report.sides[side].regions.items()
        }
        assert found == {region: set(truth.regions[region]) for region in Region}
        assert set(collapse_others(report, side)) == {name.value for name in truth.other}


def _row(image):
    return Row(
        filestem=image["source"],
        patient=0,
        study=0,
        age_years=float(image["age_years"]),
        sex=image["sex"],
        laterality=Laterality(image["laterality"]),
        view=View(image["projection"]),
        ao=image["ao"],
        cast=image["cast"] == "1",
        osteopenia=image["osteopenia"] == "1",
        metal=image["metal"] == "1",
        spacing_mm=0.144,
    )


def test_the_attribution_names_licence_source_and_changes():
    words = (DATA / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for said in ("CC BY 4.0", "10.1038/s41597-022-01328-z", "Changes made", "Nagy"):
        assert said in words


@pytest.mark.peers
@pytest.mark.slow
@pytest.mark.parametrize("line", MANIFEST, ids=names(MANIFEST))
def test_a_file_keeps_to_the_standard(line, tmp_path):
    dciodvfy = peer("dciodvfy")
    path = STUDIES / line["file"]
    if "High-Throughput" in line["transfer_syntax"]:
        # younger than Debian's dciodvfy: its attributes are checked beside bare pixels
        made = pydicom.dcmread(path)
        made.PixelData = bytes(made.Rows * made.Columns * made.BitsAllocated // 8)
        made["PixelData"].VR = "OW"
        made["PixelData"].is_undefined_length = False
        made.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        path = tmp_path / "native.dcm"
        made.save_as(path)
    done = subprocess.run([dciodvfy, path], capture_output=True, text=True, check=False)
    assert "Error" not in done.stdout + done.stderr


@cache
def gold(part):
    return gold_reports(GOLD / f"{part}.jsonl")


def test_there_are_enough_gold_reports_and_a_third_is_never_tuned_on():
    tuning, unseen = gold("tuning"), gold("unseen")
    assert len(tuning) + len(unseen) >= 250
    assert len(unseen) >= (len(tuning) + len(unseen)) / 3
    texts = [" ".join(report.text.split()) for report in (*tuning, *unseen)]
    assert len(set(texts)) == len(texts)


def test_about_as_many_gold_reports_are_normal_as_in_the_paper():
    for part in ("tuning", "unseen"):
        broken = [
            any(
                bone.fracture in ("present", "possible")
                for regions in report.gold.sides.values()
                for bone in regions.values()
            )
            for report in gold(part)
        ]
        assert 0.2 < 1 - sum(broken) / len(broken) < 0.4
