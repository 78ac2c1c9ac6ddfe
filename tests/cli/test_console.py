"""What is printed: names and answers are other people's, and steer no terminal."""

import json

import pytest

from area.cli import console

NASTY = "\x1b]0;PWNED\x07\x1b[31mred\x9b1m\u202ecba\u2028x"


def test_nothing_printed_steers_the_terminal(capsys):
    console.echo(f"a\tb\n{NASTY}")
    console.table([{"name": f"{NASTY}\nfake log line"}], {"name": "NAME"}, "nothing")
    console.print_json({"name": NASTY})
    console.report(console.Failed(NASTY))
    printed = capsys.readouterr()
    for text in (printed.out, printed.err):
        assert not {"\x1b", "\x07", "\x9b", "\u202e", "\u2028"} & set(text)
        assert "\\u001b]0;PWNED\\u0007" in text
    assert printed.out.startswith("a\tb\n")
    assert printed.out.split("\n")[3].endswith("\\u000afake log line"), "a name is one line"


def test_json_is_the_same_value(capsys):
    console.print_json({"name": NASTY})
    assert json.loads(capsys.readouterr().out) == {"name": NASTY}


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", "a\u202eb", "a\x85", "a\u2028b"])
def test_names_are_lines(name):
    from area.kit.text import check_line, one_line

    with pytest.raises(ValueError, match="Remove line breaks"):
        check_line(name)
    assert check_line(one_line(name)).startswith("a")
