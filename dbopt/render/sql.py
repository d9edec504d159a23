"""SQL for people: safe on a terminal, and still the same statement when it is pasted into psql.

Escaping what cannot be shown would change the statement, so it is spelled in SQL's own escapes instead: a name
becomes U&"...", a literal E'...'.
https://www.postgresql.org/docs/current/sql-syntax-lexical.html
"""

from __future__ import annotations

import re

from dbopt.render.escape import is_plain, visible

_APART = r"""
      (?P<comment> --[^\n]* | /\*.*?\*/ )
    | (?P<dollar>  \$(?P<tag>(?:[^\W\d]\w*)?)\$ (?P<text>.*?) \$(?P=tag)\$ )
    | (?P<escape>  \b[eE]'(?:[^'\\]|\\.|'')*' )
    | (?P<unicode> \b[uU]&(?:'(?:[^']|'')*'|"(?:[^"]|"")*") )
    | (?P<literal> '(?:[^']|'')*' )
    | (?P<name>    "(?:[^"]|"")*" )
"""
_TOKEN = re.compile(_APART + r"| (?P<between> . )", re.VERBOSE | re.DOTALL)
_FLAT = re.compile(_APART + r"| (?P<blank> \s+ )", re.VERBOSE | re.DOTALL)
_SHORT = {"\n": r"\n", "\t": r"\t", "\r": r"\r", "\b": r"\b", "\f": r"\f"}


def pasteable(statement: str) -> str:
    """The statement with a semicolon at its end. Line breaks remain only between tokens, where they mean nothing."""
    text = spelled(statement)
    if text.endswith(";"):
        return text
    return text + ("\n;" if "--" in text.rpartition("\n")[2] else ";")  # a comment must not swallow it


def spelled(text: str) -> str:
    """The same for statements or commands that say themselves where they end."""
    text = text.rstrip()
    return text if all(map(is_plain, text)) else _TOKEN.sub(_spell, text)


def one_line(statement: str) -> str:
    """The same statement with one blank wherever it has blanks and line breaks between tokens. What stands in quotes
    stays as it is.
    """
    return _FLAT.sub(_flatten, statement).strip()


def _flatten(match: re.Match[str]) -> str:
    if match.lastgroup == "blank":
        return " "
    token = match[0]
    return f"/*{token[2:].replace('*/', '* /')} */" if token.startswith("--") else token


def _spell(match: re.Match[str]) -> str:
    token = match[0]
    if all(map(is_plain, token)):
        return token
    match match.lastgroup:
        case "literal":
            return "E" + "".join(r"\\" if char == "\\" else _in_literal(char) for char in token)
        case "dollar" | "text" | "tag":
            return _spell_text(match["text"])
        case "escape":
            # A backslash before a raw line break means that line break, as the escape itself does.
            return re.sub(r"\\?(.)", lambda m: m[0] if is_plain(m[1]) else _in_literal(m[1]), token, flags=re.DOTALL)
        case "name":
            return "U&" + "".join(r"\\" if char == "\\" else _in_name(char) for char in token)
        case "unicode":
            return "".join(map(_in_name, token))
        case "comment":
            return visible(token)
    if token in "\n\t":
        return token
    return " " if token.isspace() else visible(token)


def _spell_text(text: str) -> str:
    """The content of a dollar-quoted literal as E'...'."""
    escaped = "".join(_in_literal(char) for char in text.replace("\\", r"\\").replace("'", "''"))
    return f"E'{escaped}'"


def _in_literal(char: str) -> str:
    if is_plain(char):
        return char
    return _SHORT.get(char) or (f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}")


def _in_name(char: str) -> str:
    if is_plain(char):
        return char
    return f"\\{ord(char):04x}" if ord(char) < 0x10000 else f"\\+{ord(char):06x}"
