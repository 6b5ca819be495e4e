"""The calculator: thousands, exact roots, rounded values, and the notation of people and models."""

from __future__ import annotations

import pytest

from society.components.tools.base import ToolError
from society.components.tools.calculator import evaluate, show


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("gcd(1071,462)", "21"),
        ("max(5,100)", "100"),
        ("min(3,200,1)", "1"),
        ("max(sqrt(1,024),5)", "32"),
        ("max((1,024)*2,5)", "2048"),
        ("1,234,567+1", "1234568"),
    ],
)
def test_commas_separate_the_arguments_of_a_function_and_thousands_elsewhere(expression: str, result: str) -> None:
    assert show(evaluate(expression)) == result


@pytest.mark.parametrize("expression", ["max(1,500, 2)", "max(1,000)", "round(2,345.678, 1)", "min(7, 1,024)"])
def test_commas_with_two_meanings_are_refused(expression: str) -> None:
    with pytest.raises(ToolError, match="write its numbers without commas"):
        evaluate(expression)


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("floor(64**(1/3))", "4"),
        ("8**(2/3)", "4"),
        ("(1/8)**(1/3)", "0.5"),
        ("ceil(sqrt(2)**2)", "2"),
        ("floor(sqrt(10**40-1))", "99999999999999999999"),
        ("ceil(sqrt(10**40+1))", "100000000000000000001"),
        ("0**100000", "0"),
        ("ceil(sqrt(2)*sqrt(2))", "2 (rounded)"),
        ("floor(sqrt(2)*100)", "141 (rounded)"),
        ("round(sqrt(2), 3)", "1.414 (rounded)"),
        ("pi//1", "3 (rounded)"),
        ("-7//2", "-4"),
        ("2**0.1234567891", "1.08934187042419 (rounded)"),
        ("2**(1/10**30)", "1 (rounded)"),
        ("1**(1/10**30)", "1"),
    ],
)
def test_roots_are_exact_or_the_result_says_that_it_is_rounded(expression: str, result: str) -> None:
    assert show(evaluate(expression)) == result


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("5!", "120"),
        ("15% of 200", "30"),
        ("2 x 3", "6"),
        ("10 mod 3", "1"),
        ("12⋅3", "36"),
        ("$5+$6", "11"),
        ("07+1", "8"),
        ("100.007", "100.007"),
        ("0x10", "16"),
    ],
)
def test_the_notation_of_people_is_read(expression: str, result: str) -> None:
    assert show(evaluate(expression)) == result


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("f'{1}'", "the calculator does not know"),
        ("sqrt(1, 2)", "sqrt does not take 2 numbers"),
        ("max()", "0 numbers"),
        ("1/2% of 100", "'/2% of' is ambiguous: write the percentage in brackets"),
        ("100 / 10% of 50", "is ambiguous"),
    ],
)
def test_a_refusal_has_no_terms_of_python(expression: str, message: str) -> None:
    with pytest.raises(ToolError, match=message) as caught:
        evaluate(expression)
    assert "joinedstr" not in caught.value.cause
    assert "argument" not in caught.value.cause
