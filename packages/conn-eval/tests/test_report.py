import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from conn.eval import OutputError, Report, plot_connectome, plot_training

pytest.importorskip("jinja2", reason="jinja2 is not installed")
pytest.importorskip("matplotlib", reason="matplotlib is not installed")

NASTY = "<script>alert('x')</script> & \"quotes\" 'more' {{ 7 * 7 }} $x$"


class Page(HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.words = [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def nasty_report(*, simulated=False):
    report = Report(NASTY, simulated=simulated, subtitle=NASTY)
    report.add_text("Text " + NASTY, f"One.\n\nTwo {NASTY}\nhttps://example.org/x.js")
    report.add_numbers("Numbers", {NASTY: NASTY, "r": (0.5, 0.25, 0.75), "none": None}, NASTY)
    table = pd.DataFrame({NASTY: [NASTY], "r": [0.5], "r_low": [0.25], "r_high": [np.nan]})
    report.add_table("Table", table, NASTY)
    report.add_figure("Figure", plot_training({NASTY: [2, 1]}, title=NASTY), NASTY, alt=NASTY)
    report.add_figure("Figure", plot_connectome(np.eye(3) + 0.1, groups=[NASTY] * 3), "", alt="map")
    return report


def test_everything_given_is_text_and_never_markup(tmp_path):
    page = Page(nasty_report().write(tmp_path / "report.html"))
    assert not page.all("script")
    assert page.text.count("<script>alert('x')</script>") == 13
    assert page.text.count("{{ 7 * 7 }}") == 13
    assert page.all("img")[0]["alt"] == NASTY
    assert not any(name.startswith("on") for _, element in page.elements for name in element)


def test_page_loads_nothing(tmp_path):
    path = nasty_report().write(tmp_path / "report.html")
    page = Page(path)
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "poster", "action", "background"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (name, value[:80])
        assert "url(" not in attributes.get("style", "")
    style = path.read_text().split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert not {"link", "iframe", "object", "embed", "base", "form"} & {e[0] for e in page.elements}
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'")


def test_figures_inside_load_nothing_either(tmp_path):
    import base64
    import re

    page = Page(nasty_report().write(tmp_path / "report.html"))
    for image in page.all("img"):
        drawing = base64.b64decode(image["src"].partition("base64,")[2]).decode()
        for target in re.findall(r'(?:href|src)="([^"]*)"', drawing):
            assert target.startswith(("#", "data:"))


def test_simulated_pages_say_so_in_every_section(tmp_path):
    page = Page(nasty_report(simulated=True).write(tmp_path / "simulated.html"))
    assert "Simulated data." in page.text
    badges = [e for e in page.all("span") if e.get("class") == "badge"]
    assert len(badges) == len(page.all("section")) == 4
    assert page.text.startswith("Simulated: ")
    honest = Page(nasty_report().write(tmp_path / "real.html"))
    assert "simulated" not in honest.text.lower()


def test_contents_lead_to_the_sections(tmp_path):
    report = Report("Title")
    for heading in ("Same", "Other", "Same", "Ünïcode only: 神経"):
        report.add_text(heading, "text")
    page = Page(report.write(tmp_path / "report.html"))
    links = [link["href"] for link in page.all("a")]
    identifiers = [heading["id"] for heading in page.all("h2")]
    assert len(set(links)) == 4
    assert [f"#{identifier}" for identifier in identifiers[1:]] == links
    assert page.all("html")[0]["lang"] == "en"


def test_neighbouring_parts_of_one_heading_share_a_section(tmp_path):
    report = Report("Title")
    report.add_text("Result", "text")
    report.add_table("Result", [{"a": 1}], "first")
    report.add_table("Result", [{"a": 1}], "second")
    page = Page(report.write(tmp_path / "report.html"))
    assert len(page.all("section")) == 1
    assert "Table 1. first" in page.text
    assert "Table 2. second" in page.text


def test_tables_show_rounded_numbers_intervals_and_gaps(tmp_path):
    report = Report("Title")
    frame = pd.DataFrame(
        {
            "n_hits": [10, 3],
            "r": [0.123456, np.nan],
            "r_low": [0.1, np.nan],
            "r_high": [0.2, np.nan],
            "p": [0.000999, 1234567.0],
            "hit": [True, False],
            "who": [None, "b"],
            "seconds": [12.3456, 123.456],
        }
    )
    report.add_table("Result", frame)
    text = Page(report.write(tmp_path / "report.html")).text
    assert "n hits r [low, high] p hit who seconds" in text
    assert "10 0.123 [0.100, 0.200] 0.000999 yes \N{EN DASH} 12.35" in text
    assert "3 \N{EN DASH} 1.23e+06 no b 123.5" in text
    assert "r_low" not in text


def test_numbers_show_their_interval(tmp_path):
    report = Report("Title")
    report.add_numbers("Result", {"accuracy": (1.0, 0.722, 1.0), "n": 10, "kind": "rest"})
    text = Page(report.write(tmp_path / "report.html")).text
    assert "accuracy1.000 [0.722, 1.000] n10 kindrest" in text


def test_same_report_gives_the_same_bytes(tmp_path):
    first, second = (nasty_report().write(tmp_path / f"{name}.html").read_bytes() for name in ("one", "two"))
    assert first == second


def test_report_of_nothing_is_still_a_page(tmp_path):
    page = Page(Report("Empty").write(tmp_path / "deep" / "folder" / "report.html"))
    assert "Empty" in page.text
    assert not page.all("nav")


def test_unwritable_page_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"^cannot write .*report\.html: .+$"):
        Report("Title").write(tmp_path / "file" / "report.html")
    with pytest.raises(OutputError, match="it is a folder"):
        Report("Title").write(tmp_path)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda r: Report("  "), ValueError, "needs a title"),
        (lambda r: r.add_text("", "text"), ValueError, "needs a heading"),
        (lambda r: r.add_numbers("Result", {}), ValueError, "'Result' has no numbers"),
        (lambda r: r.add_numbers("Result", {"r": (1, 2)}), ValueError, "'r' has 2 parts"),
        (lambda r: r.add_table("Result", []), ValueError, "'Result' has no columns"),
        (
            lambda r: r.add_figure("Result", plot_training({"a": [1]}), "", alt=" "),
            ValueError,
            "needs an alternative text",
        ),
        (lambda r: r.add_figure("Result", "a path", "", alt="a"), TypeError, "got a str"),
    ],
)
def test_bad_parts_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(Report("Title"))


@pytest.mark.browser
def test_page_opens_in_a_browser_without_network_or_complaint(tmp_path):
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    path = nasty_report(simulated=True).write(tmp_path / "report.html")
    complaints, requests = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--headless=new", "--no-sandbox"])
        try:
            context = browser.new_context(offline=True, viewport={"width": 390, "height": 800})
            tab = context.new_page()
            tab.on("console", lambda message: complaints.append(message.text))
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            tab.on("dialog", lambda dialog: complaints.append(dialog.message))
            tab.on("request", lambda request: requests.append(request.url))
            tab.goto(path.as_uri())
            headings = tab.locator("section h2").all_inner_texts()
            sizes = tab.evaluate("Array.from(document.images, i => [i.complete, i.naturalWidth, i.naturalHeight])")
            overflow = tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        finally:
            browser.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert len(headings) == 4
    assert all("simulated" in heading for heading in headings)
    assert len(sizes) == 2
    assert all(complete and width > 0 and height > 0 for complete, width, height in sizes)
    assert overflow <= 0
