"""The page of losses: its example of a scheme gives what the page shows."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "loss" / "losses.md"


def test_the_example_of_a_scheme_prints_what_the_page_shows(capsys):
    text = PAGE.read_text(encoding="utf-8")
    (code, shown), *more = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, flags=re.DOTALL)
    assert not more
    exec(compile(code, str(PAGE), "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out == shown
