"""mcpd completion: what completes the words of the command in a shell, made from its parsers."""

import argparse
from collections.abc import Iterator

from mcpd.cli import VERBS, make_parser

_BASH_FILES = 'COMPREPLY=($(compgen -f -- "$word"))'
SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Words of the verb."""
    parser.add_argument("shell", choices=SHELLS)


def run(arguments: argparse.Namespace) -> int:
    """Print a script: ``source <(mcpd completion bash)``."""
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[arguments.shell](), end="")
    return 0


def words_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, tuple[str, ...], bool]]:
    """Flags and words that a parser knows: the word, its help, its values, whether it is a file."""
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        values = tuple(map(str, action.choices or ()))
        is_file = str(action.metavar or "").startswith(("FILE", "PATH", "DIR"))
        help_text = (action.help or "").replace("%%", "%").partition(" (default")[0]
        if isinstance(action, argparse._SubParsersAction) or not action.option_strings:
            for value in values:
                yield value, "", (), False
        for flag in action.option_strings:
            if flag.startswith("--"):
                yield flag, help_text, values, is_file


def _verbs() -> dict[str, argparse.ArgumentParser]:
    return make_parser(tuple(VERBS))[1]


def _bash() -> str:
    cases, values = [], []
    for verb, parser in _verbs().items():
        words = list(words_of(parser))
        cases.append(f"    {verb}) words='{' '.join(word for word, *_ in words)}' ;;")
        for flag, _, choices, is_file in words:
            if choices:
                values.append(f"    {verb}:{flag}) words='{' '.join(choices)}' ;;")
            elif is_file:
                values.append(f'    {verb}:{flag}) COMPREPLY=($(compgen -f -- "$word")); return ;;')
    return f"""# bash completion of mcpd
_mcpd() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}"
  local verb="${{COMP_WORDS[1]}}" words=''
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '{" ".join(VERBS)} --help --version' -- "$word"))
    return
  fi
  case "$verb" in
{_lines(cases)}
  esac
  case "$verb:$before" in
{_lines(values)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _mcpd mcpd
"""


def _zsh() -> str:
    verbs = [f"    '{verb}:{_plain(told)}'" for verb, told in VERBS.items()]
    cases = []
    for verb, parser in _verbs().items():
        specs = []
        for word, told, choices, is_file in words_of(parser):
            if not word.startswith("--"):
                specs.append(f"'*:word:({word})'")
                continue
            ends = f":value:({' '.join(choices)})" if choices else ":file:_files" if is_file else ""
            specs.append(f"'{word}[{_plain(told)}]{ends}'")
        cases.append(f"    {verb}) _arguments {' '.join(specs)} ;;")
    return f"""#compdef mcpd
_mcpd() {{
  local -a verbs
  verbs=(
{_lines(verbs)}
  )
  if (( CURRENT == 2 )); then
    _describe verb verbs
    return
  fi
  local verb="$words[2]"
  shift words
  (( CURRENT-- ))
  case "$verb" in
{_lines(cases)}
  esac
}}
compdef _mcpd mcpd
"""


def _fish() -> str:
    lines = ["# fish completion of mcpd", "complete -c mcpd -f"]
    for verb, told in VERBS.items():
        lines.append(f"complete -c mcpd -n __fish_use_subcommand -a {verb} -d '{_plain(told)}'")
    for verb, parser in _verbs().items():
        start = f"complete -c mcpd -n '__fish_seen_subcommand_from {verb}'"
        for word, told, choices, is_file in words_of(parser):
            if not word.startswith("--"):
                lines.append(f"{start} -a {word}")
                continue
            ends = f" -x -a '{' '.join(choices)}'" if choices else " -r -F" if is_file else ""
            lines.append(f"{start} -l {word[2:]} -d '{_plain(told)}'{ends}")
    return _lines(lines) + "\n"


def _plain(text: str) -> str:
    """As it may stand within single quotes and brackets of any of these shells."""
    for sign in "'[]:\\":
        text = text.replace(sign, " " if sign in ":[]" else "")
    return text


def _lines(lines: list[str]) -> str:
    return "\n".join(lines)
