"""Completion and the manual page, made from the parsers."""

import shutil
import subprocess

import pytest

from mcpd.cli import VERBS, main


def printed(capsys, *words: str) -> str:
    assert main(list(words)) == 0
    return capsys.readouterr().out


def completed(script: str, line: str) -> list[str]:
    """What bash offers at the end of a line."""
    words = line.split(" ")
    told = " ".join(f"'{word}'" for word in words)
    ask = (
        f"COMP_WORDS=({told}); COMP_CWORD={len(words) - 1}; _mcpd; printf '%s\\n' ${{COMPREPLY[@]}}"
    )
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("mcpd ser", ["serve"]),
        (
            "mcpd serve --call-log-f",
            ["--call-log-file", "--call-log-file-bytes", "--call-log-files"],
        ),
        ("mcpd serve --log-level ", ["debug", "info", "warning", "error"]),
        ("mcpd key ", ["create", "list", "show", "revoke"]),
        ("mcpd log-level w", ["warning"]),
    ],
)
def test_bash_completes_verbs_flags_and_values(capsys, line, wanted):
    offered = completed(printed(capsys, "completion", "bash"), line)
    assert [word for word in offered if word in wanted] == wanted
    if not line.endswith(" "):
        assert offered == wanted


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_every_verb_and_their_own_words(capsys, shell):
    script = printed(capsys, "completion", shell)
    assert all(verb in script for verb in VERBS)
    assert "max-body-bytes" in script
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=script, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr


def test_the_manual_page_names_every_verb_and_every_flag(capsys):
    page = printed(capsys, "man")
    assert all(f".B {verb.replace('-', chr(92) + '-')}\n" in page for verb in VERBS)
    assert "\\-\\-trusted\\-proxies" in page
    assert "%%" not in page


def test_every_request_of_the_manual_page_is_one_of_man(capsys):
    for line in printed(capsys, "man").splitlines():
        if line.startswith((".", "'")):
            assert line.split(" ")[0] in (".TH", ".SH", ".TP", ".B", ".I")
