"""A page from data; what stands in the data is never a template itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentkit.errors import ToolError

Call = Callable[..., Any]


def test_loops_leave_no_blank_lines_behind(call: Call) -> None:
    template = "# {{ title }}\n{% for item in rows %}\n- {{ item }}\n{% endfor %}\nend\n"

    page = call("render_template", template=template, data={"title": "T", "rows": [1, "b"]})

    assert page == {"text": "# T\n- 1\n- b\nend\n"}


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0:00"), (75.9, "1:15"), (3599, "59:59"), (3675.2, "1:01:15"), (36000, "10:00:00")],
)
def test_clock(call: Call, seconds: float, written: str) -> None:
    page = call("render_template", template="{{ at | clock }}", data={"at": seconds})

    assert page == {"text": written}


def test_data_are_not_templates(call: Call) -> None:
    hostile = "{{ 7 * 7 }} {% for x in y %} ${{ inputs }} <script>"

    assert call("render_template", template="{{ a }}", data={"a": hostile}) == {"text": hostile}


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ nope }}", "'nope' is undefined"),
        ("{{ a.nope }}", "has no attribute 'nope'"),
        ("{% for x in a %}", "the template cannot be filled"),
        ("{{ a", "the template cannot be filled"),
        ("{{ a | nope }}", "No filter named 'nope'"),
        ("{% include '/etc/passwd' %}", "the template cannot be filled|no loader"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ a.update({'b': 1}) }}", "not safely callable|unsafe"),
        ("{{ cycler.__init__.__globals__ }}", "unsafe"),
        ("{{ range(10**9) | list }}", "Range too big"),
    ],
)
def test_a_template_that_cannot_be_filled(call: Call, template: str, said: str) -> None:
    with pytest.raises(ToolError, match=said):
        call("render_template", template=template, data={"a": {"x": 1}})
