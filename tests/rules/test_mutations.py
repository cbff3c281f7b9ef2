"""The tool that changes rules changes each part of them, and one at a time."""

import pytest

from tests.rules import mutations, promql


def changed(text: str) -> set[str]:
    return {text[:start] + new + text[end:] for start, end, new in mutations.of_expression(text)}


@pytest.mark.parametrize(
    ("text", "mutants"),
    [
        ("a > 0.5", {"a >= 0.5", "a < 0.5", "a > 0.51", "a > 0.49"}),
        ("a == 1", {"a != 1", "a == 2", "a == 0"}),
        ("a > bool b", {"a >= bool b", "a < bool b", "a >  b"}),
        ("a or b", {"a", " b", "a "}),
        ("a unless on (x, y) b", {"a", "a unless on (y) b", "a unless on (x) b"}),
        ("a / b", {"a * b"}),
        ("a{x='1'}", {"a{x!='1'}", "a{x='mutant'}", "a{}"}),
        ("a{x='1',y!~'2'}", {"a{y!~'2'}", "a{x='1'}"}),
        ("a{x=~'(?i:b|c)'}", {"a{x=~'(?i:b)'}", "a{x=~'(?i:c)'}", "a{x!~'(?i:b|c)'}", "a{}"}),
        ("sum by (x, y) (a)", {"max by (x, y) (a)", "sum by (x) (a)", "sum by (y) (a)"}),
        ("rate(a[5m])", {"increase(a[5m])", "rate(a[360s])", "rate(a[240s])"}),
        ("a offset 1h", {"a offset 4320s", "a offset 2880s"}),
        ("max_over_time(a[1h:15s])", {"max_over_time(a[4320s:15s])", "max_over_time(a[1h:18s])"}),
    ],
)
def test_every_part_of_an_expression_is_changed(text: str, mutants: set[str]) -> None:
    assert {" ".join(one.split()) for one in mutants} <= {" ".join(one.split()) for one in changed(text)}


def test_arms_are_taken_out_as_a_whole() -> None:
    assert {"(a and b)", "c"} <= {one.strip() for one in changed("(a and b) or c")}


def test_an_operation_binds_as_prometheus_binds_it() -> None:
    assert "a" in {one.strip() for one in changed("a unless b > 1")}
    assert "a + b" in {one.strip() for one in changed("a + b and c")}


@pytest.mark.parametrize("text", ["a >", "sum by (", "a b", "a{x}"])
def test_what_is_no_promql_is_refused(text: str) -> None:
    with pytest.raises(promql.NotUnderstood):
        promql.parts(text)


def test_the_pieces_of_a_template_are_its_texts_and_values_without_what_only_controls() -> None:
    template = "{{ $labels.a }} is {{ if gt $value 1.0 }}high{{ else }}low{{ end }}"
    told = [piece for piece, is_control in mutations.pieces(template) if piece and not is_control]
    assert told == ["{{ $labels.a }}", " is ", "high", "low"]
