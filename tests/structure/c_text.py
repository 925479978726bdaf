"""C source taken apart just far enough to judge it: include directives and string literals."""

import re

_TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/            # comments
      | ^[ \t]*\#[ \t]*include[^\n]*  # whose "names" are no strings
      | '(?:\\.|[^'\\\n])*'           # characters
      | "(?:\\.|[^"\\\n])*"           # strings
    """,
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
_INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*[<\"]([^>\"]+)[>\"]", re.MULTILINE)


def includes(text: str) -> list[str]:
    return _INCLUDE.findall(text)


def strings(text: str) -> list[tuple[int, str]]:
    """(line, content) of every string; literals that stand together count as one."""
    found: list[tuple[int, str]] = []
    end = -1  # of the last string, while only blanks and comments follow it
    for match in _TOKEN.finditer(text):
        token = match.group()
        if text[end : match.start()].strip():
            end = -1
        if token.startswith('"'):
            if end >= 0:
                found[-1] = (found[-1][0], found[-1][1] + token[1:-1])
            else:
                found.append((text.count("\n", 0, match.start()) + 1, token[1:-1]))
            end = match.end()
        elif end >= 0 and token.startswith(("//", "/*")):
            end = match.end()
        else:
            end = -1
    return found
