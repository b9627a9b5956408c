"""Takes blocks for the shell apart: into commands as a reader types them, and these into single programs' words."""

import re
import shlex
from dataclasses import dataclass

from doc_pages import Block

KEYWORDS = {"do", "then", "else", "if", "while", "until", "!", "time", "exec"}
OPERATORS = set("();<>|&")


@dataclass(frozen=True)
class Command:
    """What stands behind a prompt, with its continuation lines, and what is shown to be printed."""

    text: str
    line: int
    output: str = ""


def commands(block: Block) -> list[Command]:
    """Return the commands of a block: those behind ``$`` in console, all lines in bash."""
    found: list[Command] = []
    lines = block.text.splitlines()
    number = 0
    while number < len(lines):
        first, line = number, lines[number]
        number += 1
        prompt = line.startswith("$ ") if block.language == "console" else bool(line.strip())
        if not prompt:
            if found and block.language == "console":
                last = found[-1]
                found[-1] = Command(last.text, last.line, f"{last.output}{line}\n")
            continue
        text = line.removeprefix("$ ") if block.language == "console" else line
        while text.endswith("\\") and number < len(lines):
            text = text[:-1] + lines[number].removeprefix("> ")
            number += 1
        found.append(Command(text, block.line + first))
    return found


@dataclass(frozen=True)
class Program:
    """A program's words, its name first, and the file that its standard output goes to."""

    words: list[str]
    writes: str = ""


def programs(text: str, variables: dict[str, str]) -> list[Program]:
    """Return the programs that a command starts; assignments go into ``variables``.

    Loops are walked through once, with the first of their values.
    """
    found: list[Program] = []
    for simple in _simple(_split(text)):
        words = simple.words
        while words and words[0] in KEYWORDS:
            words = words[1:]
        if words[:1] == ["for"]:
            variables[words[1]] = words[3]
            continue
        words = [_expand(word, variables) for word in words]
        while words and re.fullmatch(r"\w+=.*", words[0], re.DOTALL):
            variable, value = words[0].split("=", 1)
            variables[variable] = value
            words = words[1:]
        words = [part for word in words for part in word.split("\0")]
        if words and words[0] not in ("done", "fi"):
            found.append(Program(words, simple.writes))
    return found


def _split(text: str) -> list[str]:
    lexer = shlex.shlex(_without_comment(text), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    return list(lexer)


def _without_comment(text: str) -> str:
    quote = ""
    for at, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign == "#" and (at == 0 or text[at - 1].isspace()):
            return text[:at]
    return text


def _simple(tokens: list[str]) -> list[Program]:
    found = [Program([])]
    redirected = ""
    for token in tokens:
        if set(token) <= OPERATORS:
            if set(token) & set("<>"):
                redirected = token
            else:
                found.append(Program([]))
        elif redirected:
            found[-1] = Program(found[-1].words, token if ">" in redirected else found[-1].writes)
            redirected = ""
        else:
            found[-1].words.append(token)
    return [each for each in found if each.words]


def _expand(word: str, variables: dict[str, str]) -> str:
    """Put in the values of variables; one that is the whole word is split, as the shell does, and an unknown is 1."""

    def value(match: re.Match[str]) -> str:
        return variables.get(match[1] or match[2], match[3] or "1")

    whole = re.fullmatch(r"\$(\w+)|\$\{(\w+)\}", word)
    expanded = re.sub(r"\$(?:(\w+)|\{(\w+)(?::-([^}]*))?\})", value, word)
    return "\0".join(expanded.split()) if whole else expanded
