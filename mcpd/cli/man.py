"""mcpd man: the manual page, made from the parsers, so that it cannot be out of date."""

import argparse
import re

from mcpd.cli import VERBS, make_parser
from mcpd.errors import EXIT_CONFIG, EXIT_FAILURE, EXIT_MAY_PASS, EXIT_USAGE
from mcpd.version import __version__


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There are none."""


def run(arguments: argparse.Namespace) -> int:
    """Print it in roff: ``mcpd man | man -l -``."""
    print(page(), end="")
    return 0


def page() -> str:
    """The whole page (man-pages(7))."""
    parts = [
        f'.TH MCPD 1 "" "mcpd {__version__}" "mcpd manual"',
        ".SH NAME",
        "mcpd \\- a daemon that serves the Model Context Protocol",
        ".SH SYNOPSIS",
        ".B mcpd\n.I VERB\n[\\fIOPTIONS\\fR]",
        ".SH DESCRIPTION",
        "mcpd registers clients, keeps their sessions, checks who they are, answers JSON-RPC and"
        " hosts tools, resources and prompts that are written in Python.",
        ".SH VERBS",
        *(f".TP\n.B {_roff(verb)}\n{_sentence(told)}" for verb, told in VERBS.items()),
    ]
    for verb, parser in make_parser(tuple(VERBS))[1].items():
        options = _options(parser)
        if options:
            parts += [f'.SH "MCPD {verb.upper()}"', *options]
    parts += [".SH EXIT STATUS", *_exits(), ".SH ENVIRONMENT", _ENVIRONMENT]
    return "\n".join(parts) + "\n"


def _options(parser: argparse.ArgumentParser) -> list[str]:
    told = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction) or action.help == argparse.SUPPRESS:
            continue
        names = ", ".join(f"\\fB{_roff(flag)}\\fR" for flag in action.option_strings)
        value = _value(action)
        head = f"{names} {value}".strip() if names else value
        text = (action.help or "").replace("%%", "%")
        told.append(f".TP\n{head}\n{_sentence(text)}")
    return told


def _value(action: argparse.Action) -> str:
    if action.choices:
        return f"\\fI{_roff('|'.join(map(str, action.choices)))}\\fR"
    if action.nargs == 0:
        return ""
    return f"\\fI{_roff(str(action.metavar or action.dest.upper()))}\\fR"


def _exits() -> list[str]:
    codes = {
        0: "it did what it was told",
        EXIT_FAILURE: "something failed, as the message says",
        EXIT_USAGE: "a word on the command line means nothing",
        EXIT_MAY_PASS: "it could not, and may the next time",
        EXIT_CONFIG: "a setting has to be changed first",
    }
    return [f".TP\n.B {code}\n{_sentence(told)}" for code, told in codes.items()]


_ENVIRONMENT = (
    "Each setting of \\fBmcpd serve\\fR is also a variable: \\fB\\-\\-max\\-body\\-bytes\\fR is"
    " \\fBMCPD_MAX_BODY_BYTES\\fR. \\fBMCPD_CONFIG\\fR names the file of settings, and"
    " \\fBJWT_SECRET_KEY\\fR is the secret that signs tokens."
)


def _sentence(text: str) -> str:
    text = _roff(text[:1].upper() + text[1:] + ("" if text.endswith(".") else "."))
    return f"\\&{text}" if text.startswith((".", "'")) else text


def _roff(text: str) -> str:
    return re.sub(r"-", r"\\-", text.replace("\\", "\\e"))
