"""Checks the documents: line length, table cells, wording, and that every link, picture and named module exists.

Usage: python .ci/check_docs.py [FILE ...]; exits 1 and names file and line of every offender. Without arguments the
pages of docs/ and the guides beside it are checked in full, and the links of every other Markdown file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

GUIDES = ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "recon/segment/nets/demo_city/MODEL_CARD.md")
MAX_LINE, MAX_CELL = 120, 200
SKIPPED = {"node_modules", "build", "dist"}  # besides hidden folders

# Wording that a reader in a second language stumbles over. Code spans and code blocks are not searched.
BANNED = {
    r"\b(is|are) none\b": "'X is none': write 'X is not ...' or 'there is no X'",
    r"\bwhat (is|was) asked for\b|\bwhat came out\b": "write 'goal' and 'result'",
    r"\bsays?\b|\bspeaks?\b": "documents and programs state, report, name or describe",
    r"\b(dares?|dared|heeds?|lays)\b": "personified: use the technical term",
    r"\bknows?\b|\bwants?\b": "personified: write 'has', 'requires' or 'holds'",
    r"\basked for\b": "write 'required' or 'requested'",
    r"\bso (much|many) (of|lie|lies|were|was)\b": "inverted: name the subject first",
    r"^which way\b|^what is asked\b": "inverted: name the subject first",
}
LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\)")
CODE_SPAN = re.compile(r"`[^`]*`")
PACKAGES = "recon|vectorize|training|workers|service|tests|docs|deploy"
FILE = re.compile(rf"`((?:{PACKAGES})/[\w/.-]+\.\w+)`")
IMPORT = re.compile(rf"from ((?:{PACKAGES})[\w.]*) import ([\w, ]+)$")
DOTTED = re.compile(rf"`((?:{PACKAGES})(?:\.\w+)+)(?:\(.*)?`")
FENCE = re.compile(r"^\s*```")


def lines_of(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Yield number, text and whether it is code for every line of a Markdown file."""
    code = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if FENCE.match(line):
            code = not code
            yield number, line, True
        else:
            yield number, line, code


def style_faults(path: Path) -> list[str]:
    """Return the lines, table cells and phrases of a file that break the rules."""
    found = []
    for number, line, code in lines_of(path):
        place = f"{path}:{number}"
        if not code and line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            longest = max(len(cell.strip()) for cell in cells)
            if longest > MAX_CELL:
                found.append(f"{place}: a table cell has {longest} characters, at most {MAX_CELL}")
        elif len(line) > MAX_LINE and not re.search(r"https?://\S{60,}", line):
            found.append(f"{place}: {len(line)} characters, at most {MAX_LINE}")
        if not code:
            prose = CODE_SPAN.sub("", line)
            hits = ((re.search(pattern, prose, re.IGNORECASE), advice) for pattern, advice in BANNED.items())
            found += [f"{place}: '{hit[0]}': {advice}" for hit, advice in hits if hit]
    return found


def anchors(path: Path) -> set[str]:
    """Return the anchors that the headings of a Markdown file get."""
    headings = (line.lstrip("#").strip().lower() for _, line, code in lines_of(path) if not code and line[:1] == "#")
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def link_faults(path: Path) -> list[str]:
    """Return the relative links and pictures of a file that lead nowhere."""
    found = []
    for number, line, code in lines_of(path):
        for target in [] if code else LINK.findall(CODE_SPAN.sub("", line)):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            file = path.parent / name if name else path
            if not file.exists():
                found.append(f"{path}:{number}: {target} does not exist")
            elif anchor and file.suffix == ".md" and anchor not in anchors(file):
                found.append(f"{path}:{number}: {target}: no heading has this anchor")
    return found


def name_faults(path: Path) -> list[str]:
    """Return the files and dotted names in code spans, and the imports in examples, that the project does not have."""
    found = []
    for number, line, code in lines_of(path):
        dotted = [] if code else DOTTED.findall(line)
        if code and (imported := IMPORT.match(line)):
            dotted = [f"{imported[1]}.{name.strip()}" for name in imported[2].split(",")]
        lost = [] if code else [name for name in FILE.findall(line) if not Path(name).exists()]
        lost += [name for name in dotted if not has_module(name)]
        found += [f"{path}:{number}: `{name}` does not exist" for name in lost]
    return found


def has_module(name: str) -> bool:
    """Return whether a dotted name is a package, a module, or a name (of a name) in a module."""
    parts = name.split(".")
    if Path(*parts).is_dir():
        return True
    files = ((Path(*parts[:n]).with_suffix(".py"), parts[n:]) for n in range(len(parts), 1, -1))
    return any(
        file.is_file() and (not rest or re.search(rf"\b{rest[0]}\b", file.read_text(encoding="utf-8")))
        for file, rest in files
    )


def pages() -> list[Path]:
    """Return the files whose style is checked."""
    return [*sorted(Path("docs").rglob("*.md")), *(Path(name) for name in GUIDES)]


def markdown() -> list[Path]:
    """Return every Markdown file of the project, without hidden folders and build results."""
    files = sorted(Path().rglob("*.md"))
    return [file for file in files if not any(part[0] == "." or part in SKIPPED for part in file.parts)]


def main(names: list[str]) -> int:
    """Check the files, print what is wrong, and return the exit status."""
    styled = [Path(name) for name in names] or pages()
    linked = [Path(name) for name in names] or markdown()
    found = [fault for path in styled for fault in (*style_faults(path), *name_faults(path))]
    found += [fault for path in linked for fault in link_faults(path)]
    print(f"{len(styled)} pages, {len(linked)} files with links, {len(found)} faults")
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
