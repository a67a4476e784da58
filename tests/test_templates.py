"""Templates from elsewhere: they cannot reach out, and cannot fill the memory."""

from __future__ import annotations

import pytest
from jinja2 import TemplateError

from agentkit.templates import BoundedSandbox


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 2000000000 }}",
        "{{ 2000000000 * [1] }}",
        "{{ 9 ** 999999999 }}",
        "{{ '%0999999999d' % 1 }}",
        "{{ 'a'.ljust(2000000000) }}",
        "{{ '{:>999999999}'.format(1) }}",
        "{{ 'a' | center(2000000000) }}",
        "{% for i in range(2000000000) %}{% endfor %}",
        "{{ ''.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ [].append(1) }}",
    ],
)
def test_what_makes_much_out_of_little_or_reaches_out_is_refused(source: str) -> None:
    with pytest.raises((TemplateError, OverflowError)):
        BoundedSandbox().from_string(source).render()


def test_ordinary_arithmetic_works() -> None:
    assert BoundedSandbox().from_string("{{ 2 * 3 }}{{ '-' * 3 }}{{ 7 % 4 }}").render() == "6---3"
