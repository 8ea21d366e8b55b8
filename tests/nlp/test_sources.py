"""Readers: each finds its files by content, and one bad record costs only itself."""

import csv
import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from nlp.errors import InputError
from nlp.records import Rejected, Report
from nlp.sources import SOURCES, read_reports, recognise

RECORDS = [
    {"report_id": "R1", "patient_id": "P1", "text": "A 9 mm node.\nNew.", "study_id": "S1"},
    {"report_id": "R2", "patient_id": "P2", "text": 'Cyst, "simple"; é × 2 cm', "study_id": ""},
]


def write_jsonl(path, records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")


def write_csv(path, records):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)


def write_parquet(path, records):
    parquet.write_table(pa.Table.from_pylist(records), path)


def write_txt(path, records):
    for record in records:
        (path / record["patient_id"]).mkdir(parents=True, exist_ok=True)
        file = path / record["patient_id"] / f"{record['report_id']}.txt"
        file.write_text(record["text"], encoding="utf-8")


WRITERS = {"jsonl": write_jsonl, "csv": write_csv, "parquet": write_parquet}


def read(path, **options):
    return list(read_reports([path], **options))


def test_every_source_has_its_test():
    assert set(SOURCES) == {*WRITERS, "txt"}


@pytest.mark.parametrize("name", WRITERS)
def test_a_source_reads_what_was_written_whatever_its_suffix(name, tmp_path):
    path = tmp_path / "export.dat"
    WRITERS[name](path, RECORDS)
    found = read(path)
    assert [(r.report_id, r.patient_id, r.text, r.study_id) for r in found] == [
        tuple(r[k] for k in ("report_id", "patient_id", "text", "study_id")) for r in RECORDS
    ]
    assert recognise(path) == name


def test_a_folder_of_texts_takes_ids_from_its_paths(tmp_path):
    write_txt(tmp_path / "reports", RECORDS)
    found = read(tmp_path / "reports")
    assert [(r.report_id, r.patient_id, r.text) for r in found] == [
        (f"{r['patient_id']}/{r['report_id']}", r["patient_id"], r["text"]) for r in RECORDS
    ]


@pytest.mark.parametrize("name", WRITERS)
def test_columns_can_have_other_names(name, tmp_path):
    path = tmp_path / "export"
    renamed = [{"acc": r["report_id"], "mrn": r["patient_id"], "body": r["text"]} for r in RECORDS]
    WRITERS[name](path, renamed)
    columns = {"report_id": "acc", "patient_id": "mrn", "text": "body"}
    found = read(path, columns=columns, source=name)
    assert [r.text for r in found] == [r["text"] for r in RECORDS]


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_a_table_without_a_needed_column_is_refused(name, tmp_path):
    path = tmp_path / "export.csv"
    WRITERS[name](path, [{"report_id": "1", "impression": "x"}])
    with pytest.raises(InputError, match="--column patient_id=NAME"):
        read(path, source=name)


BAD_LINES = [
    (b'{"report_id": "1", "patient_id": "2", "text": ""}', "'text' is empty"),
    (b'{"report_id": "", "patient_id": "2", "text": "x"}', "'report_id' is empty"),
    (b'{"report_id": "1", "patient_id": null, "text": "x"}', "'patient_id' is empty"),
    (b'{"patient_id": "2", "text": "x"}', "no 'report_id'"),
    (b'{"report_id": "1", "patient_id": "2", "text": ["x"]}', "'text' is no text"),
    (b'{"report_id": "1", "patient_id": "2", "te', "broken JSON"),
    (b"[" * 100_000, "broken JSON"),
    (b'["report"]', "no JSON object"),
    (b'{"report_id": "1", "patient_id": "2", "text": "\xe9"}', "not in utf-8; try --encoding"),
    (b'{"report_id": "1", "patient_id": "2", "text": "\\ud800"}', "not in the expected encoding"),
    (
        b'{"report_id": "1", "patient_id": "2", "text": "x", "lesion_ids": [1]}',
        "'lesion_ids' is no list of texts",
    ),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_bad_line_rejects_only_itself(line, reason, tmp_path):
    path = tmp_path / "reports.jsonl"
    good = json.dumps(RECORDS[0]).encode()
    path.write_bytes(b"\n".join([good, line, good, b""]))
    first, bad, last = read(path)
    assert isinstance(first, Report)
    assert isinstance(last, Report)
    assert isinstance(bad, Rejected)
    assert reason in bad.reason
    assert (bad.file, bad.line) == (str(path), 2)


def test_a_csv_row_with_missing_fields_is_rejected(tmp_path):
    path = tmp_path / "reports.csv"
    path.write_text("report_id,patient_id,text\n1,2\n3,4,node\n", encoding="utf-8")
    bad, good = read(path)
    assert (bad.line, bad.reason) == (2, "2 fields, and the header has 3")
    assert good.text == "node"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_separators(separator, tmp_path):
    path = tmp_path / "reports.csv"
    rows = [["report_id", "patient_id", "text"], ["1", "2", "node"]]
    path.write_text("\r\n".join(separator.join(row) for row in rows), encoding="utf-8-sig")
    (report,) = read(path)
    assert report.text == "node"


def test_another_encoding(tmp_path):
    path = tmp_path / "reports.csv"
    path.write_bytes("report_id,patient_id,text\n1,2,Größe 9 mm\n".encode("cp1252"))
    (rejected,) = read(path)
    assert "--encoding" in rejected.reason
    (report,) = read(path, encoding="cp1252")
    assert report.text == "Größe 9 mm"


@pytest.mark.parametrize("ids", ['["L1", "L2"]', "L1|L2", "L1 | L2"])
def test_lesion_ids_in_a_table_cell(ids, tmp_path):
    path = tmp_path / "reports.csv"
    write_csv(path, [{**RECORDS[0], "lesion_ids": ids}])
    (report,) = read(path)
    assert report.lesion_ids == ("L1", "L2")


def test_one_json_document_is_refused(tmp_path):
    path = tmp_path / "reports.json"
    path.write_text(json.dumps(RECORDS, indent=1), encoding="utf-8")
    with pytest.raises(InputError, match="one report object a line"):
        read(path)


def test_unknown_things_are_refused_with_the_known_ones(tmp_path):
    binary = tmp_path / "scan.dcm"
    binary.write_bytes(b"\0\1\2DICM")
    with pytest.raises(InputError, match="Known sources: parquet, jsonl, csv, txt"):
        read(binary)
    with pytest.raises(InputError, match="There is no source 'hl7'"):
        read(binary, source="hl7")
    with pytest.raises(InputError, match="--column body"):
        read(binary, columns={"body": "x"})
    with pytest.raises(InputError, match="There is no encoding 'utf-9'"):
        read(binary, encoding="utf-9")
    with pytest.raises(InputError, match="There is no file or folder"):
        read(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no file"):
        read(tmp_path / "empty")


def test_a_cut_parquet_file_is_one_clear_error(tmp_path):
    path = tmp_path / "reports.parquet"
    write_parquet(path, RECORDS)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="the file is damaged"):
        read(path)


def test_hidden_files_are_left_out(tmp_path):
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    write_jsonl(tmp_path / "a.jsonl", RECORDS)
    assert len(read(tmp_path)) == 2


def check_that_nothing_crashes(path, name):
    """Records are read or rejected with a reason, or the file is refused by name."""
    refused = ""
    try:
        found = read(path, source=name)
    except InputError as error:
        found, refused = [], str(error)
    assert not refused or str(path) in refused
    assert all(isinstance(r, Report | Rejected) for r in found)
    assert all(r.reason and r.line > 0 for r in found if isinstance(r, Rejected))


@given(data=st.data(), name=st.sampled_from(sorted(WRITERS)))
def test_broken_input_never_crashes_a_reader(data, name, tmp_path):
    """Cut, flip and insert bytes: every record is read or rejected, or the file refused."""
    path = tmp_path / "reports"
    WRITERS[name](path, RECORDS * 3)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(content)))
        match data.draw(st.sampled_from(["cut", "flip", "insert"])):
            case "cut":
                del content[at : at + data.draw(st.integers(0, 40))]
            case "flip" if at < len(content):
                content[at] ^= data.draw(st.integers(1, 255))
            case _:
                content[at:at] = data.draw(st.binary(max_size=8))
    path.write_bytes(content)
    check_that_nothing_crashes(path, name)


@given(content=st.binary(max_size=300), name=st.sampled_from([None, *SOURCES]))
def test_any_bytes_are_read_rejected_or_refused(content, name, tmp_path):
    path = tmp_path / "reports"
    path.write_bytes(content)
    check_that_nothing_crashes(path, name)


def test_big_files_stream(tmp_path):
    """The first report arrives although the second line is broken and endless."""
    path = tmp_path / "reports.jsonl"
    path.write_text(json.dumps(RECORDS[0]) + "\n" + "[" * 1_000_000, encoding="utf-8")
    assert next(read_reports([path])).report_id == "R1"
