import json
import re

from pipelines.mine import MineConfig, mine_reports


def page_of(tmp_path, write_reports, text):
    config = MineConfig(
        inputs=(write_reports(("R<1>", "P1", text)),), out=tmp_path / "out", relations="rules"
    )
    return mine_reports(config).page.read_text(encoding="utf-8")


def data_of(page):
    return json.loads(re.search(r'<script[^>]* id="data">(.*?)</script>', page, re.S)[1])


def test_the_page_holds_rows_with_offsets_into_the_sentence(tmp_path, write_reports):
    page = page_of(tmp_path, write_reports, "FINDINGS: Normal. A 9 mm nodule.")
    (row,) = data_of(page)
    assert row["text"] == "A 9 mm nodule."
    assert [row["text"][m["start"] : m["end"]] for m in row["mentions"]] == ["nodule"]
    assert [row["text"][b["start"] : b["end"]] for b in row["bookmarks"]] == ["9 mm"]
    assert row["section"] == "FINDINGS"


def test_report_text_cannot_become_markup(tmp_path, write_reports):
    text = "A 9 mm nodule </script><script>alert(1)</script><img src=x onerror=alert(1)> &lt;"
    page = page_of(tmp_path, write_reports, text)
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert data_of(page)[0]["text"] == text
    assert data_of(page)[0]["report"] == "R<1>"


def test_the_page_needs_no_network(tmp_path, write_reports):
    page = page_of(tmp_path, write_reports, "A 9 mm nodule.")
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
    assert "@import" not in page
    assert "url(" not in page
