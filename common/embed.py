#!/usr/bin/env python3
"""Writes a C header with the text of each given file.

usage: embed.py NAME OUT.h FILE...

The header defines `static const struct embedded_file NAME[]`, one row per file, in the order given,
ended by a row whose name is NULL. A row's name is the file's name without its folder.
"""
import os
import sys


def c_literal(text: str) -> str:
    """The text as C string literals, a line each: no line can exceed what compilers must accept."""
    lines = []
    for line in text.splitlines(keepends=True):
        escaped = line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("?", "\\?")
        lines.append(f'    "{escaped}"')
    return "\n".join(lines) or '    ""'


def main() -> None:
    name, out, files = sys.argv[1], sys.argv[2], sys.argv[3:]
    parts = ["/* Written by common/embed.py; edit the files it was made from. */",
             "#pragma once", '#include "common/base/embedded.h"', "",
             f"static const struct embedded_file {name}[] = {{"]
    for path in files:
        with open(path, encoding="utf-8") as handle:
            text = handle.read()
        parts += [f'  {{"{os.path.basename(path)}",', c_literal(text) + "},"]
    parts += ["  {NULL, NULL},", "};", ""]
    os.makedirs(os.path.dirname(out), exist_ok=True)
    with open(out, "w", encoding="utf-8") as handle:
        handle.write("\n".join(parts))


if __name__ == "__main__":
    main()
