from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.training

pytest.importorskip("sklearn", reason="needs the training extra")

from pipeline.exam import RegionFindings  # noqa: E402
from pipeline.region import Laterality, Region, View  # noqa: E402
from training.errors import DataError  # noqa: E402
from training.exam_table import ExamRow, ExamTable, ExamTableWriter, Split  # noqa: E402

SIDE = 8
NAMES = ("global", "distal_radius", "distal_ulna", "ulnar_styloid")


def exam(name="e1", **changes):
    given = {
        "exam": name,
        "source": "hospital",
        "patient": "p1",
        "study": "s1",
        "split": Split.TRAIN,
        "view": View.PA,
        "laterality": Laterality.LEFT,
        "image": "images/e1.dcm",
    }
    return ExamRow(**{**given, **changes})


def crop(level):
    return np.full((SIDE, SIDE), level, np.uint8)


def write(folder, *items):
    with ExamTableWriter(folder, SIDE) as writer:
        for row, crops in items:
            writer.add(row, crops)
    return ExamTable.open(folder)


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
findings = st.builds(
    RegionFindings,
    fracture=st.sampled_from(["present", "possible", "absent"]),
    type=st.none() | st.sampled_from(["buckle", "transverse"]),
    healing=st.none() | st.just("acute"),
    displacement=st.none() | st.just("mild"),
    angulation_deg=st.none() | st.sampled_from([0.0, 12.5, 40.0]),
)
rows = st.builds(
    exam,
    split=st.sampled_from(Split),
    view=st.sampled_from(View),
    laterality=st.sampled_from(Laterality),
    age_years=st.none() | st.sampled_from([0.5, 8.25]),
    sex=st.none() | st.sampled_from(["F", "M"]),
    report=st.none() | words,
    other=st.lists(st.sampled_from(["hardware", "osteopenia"]), unique=True).map(tuple),
    findings=st.dictionaries(st.sampled_from(Region), findings),
    captions=st.dictionaries(st.sampled_from(NAMES), words),
    boxes=st.dictionaries(st.just("wrist"), st.just((1.0, 2.0, 30.5, 40.0))),
)


@given(rows)
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read_again(tmp_path_factory, row):
    table = write(tmp_path_factory.mktemp("table"), (row, {}))
    assert table.rows == (row,)


def test_every_exam_has_its_own_crops_and_no_others(tmp_path):
    table = write(
        tmp_path,
        (exam("a"), {"global": crop(1), "distal_radius": crop(2)}),
        (exam("b"), {"global": crop(3)}),
    )
    assert set(table[0].crops) == {"global", "distal_radius"}
    assert set(table[1].crops) == {"global"}
    assert (table[0].crops["distal_radius"] == 2).all()
    assert (table[1].crops["global"] == 3).all()


def test_a_part_of_the_table_keeps_the_crops_of_its_exams(tmp_path):
    table = write(
        tmp_path,
        (exam("a", patient="p1"), {"global": crop(1)}),
        (exam("b", patient="p2", split=Split.TEST), {"global": crop(2)}),
        (exam("c", patient="p3", split=Split.TEST), {"global": crop(3)}),
    )
    part = table.part(Split.TEST).where(lambda row: row.exam != "b")
    assert [row.exam for row in part.rows] == ["c"]
    assert [int(pair.crops["global"][0, 0]) for pair in part] == [3]


def test_a_patient_never_stands_in_two_splits(tmp_path):
    with pytest.raises(DataError, match="two splits"):
        write(tmp_path, (exam("a"), {}), (exam("b", split=Split.TEST), {}))


def test_one_id_is_one_exam(tmp_path):
    with pytest.raises(DataError, match="one id"):
        write(tmp_path, (exam("a"), {}), (exam("a"), {}))


def test_a_crop_of_another_size_is_refused(tmp_path):
    with pytest.raises(DataError, match="crop"):
        write(tmp_path, (exam("a"), {"global": np.zeros((SIDE, SIDE + 1), np.uint8)}))


def test_a_table_that_was_not_finished_cannot_be_opened(tmp_path):
    def broken_off():
        with ExamTableWriter(tmp_path, SIDE) as writer:
            writer.add(exam(), {})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken_off()
    with pytest.raises(DataError, match=r"exams\.parquet"):
        ExamTable.open(tmp_path)


def test_a_table_whose_crops_were_cut_off_is_refused(tmp_path):
    write(tmp_path, (exam(), {"global": crop(1)}))
    path = tmp_path / "crops" / "global.u8"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="global"):
        ExamTable.open(tmp_path)


def test_an_empty_table_is_a_table(tmp_path):
    assert len(write(tmp_path)) == 0


def test_seen_one_sided_right_wrists_are_mirrored_and_captions_tell_no_side(tmp_path):
    slope = np.tile(np.arange(SIDE, dtype=np.uint8), (SIDE, 1))
    words = "wrist X-ray (PA view) showing no fracture."
    items = [
        (
            exam(f"e{n}", patient=f"p{n}", laterality=side, captions={
                "global": f"{said} {words}".strip(), "distal_radius": "Right as it is."
            }),
            {"global": slope},
        )
        for n, (side, said) in enumerate(
            [(Laterality.LEFT, "Left"), (Laterality.RIGHT, "Right"), (Laterality.UNKNOWN, "")]
        )
    ]  # fmt: skip
    table = write(tmp_path / "table", *items).one_sided()
    left, right, unknown = (pair.crops["global"] for pair in table)
    assert (left == slope).all()
    assert (right == slope[:, ::-1]).all()
    assert (unknown == slope).all()
    said = [pair.captions["global"] for pair in table.part(Split.TRAIN)]
    assert said == ["Wrist X-ray (PA view) showing no fracture."] * 2 + [words]
    assert table[1].captions["distal_radius"] == "Right as it is."
    assert (table.where(lambda row: row.exam == "e1")[0].crops["global"] == right).all()
