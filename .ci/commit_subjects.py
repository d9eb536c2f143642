"""Checks that the subjects of commits since release 0.1.0 have at most 72 characters: `git log --oneline` stays whole.

Usage: python .ci/commit_subjects.py [BASE]
       python .ci/commit_subjects.py --message FILE   (as a commit-msg hook)
Exits 1 and prints every longer subject. Older history is not rewritten.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BASE = "a125891e587e2f5e7c66129c757a41cb86fe26be"
MAX_SUBJECT = 72


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git here; where it is not installed, the result is that of a command that failed."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(arguments, returncode=127, stdout="", stderr="")


def main(base: str) -> int:
    """Check the commits after a base; a clone without it, or no clone at all, is not checked, which is printed."""
    if git("merge-base", "--is-ancestor", base, "HEAD").returncode != 0:
        print(f"commit subjects are not checked: {base[:7]} is not in this clone")
        return 0
    lines = git("log", "--no-merges", "--format=%h %s", f"{base}..HEAD").stdout.splitlines()
    long = [line for line in lines if len(line.split(" ", 1)[1]) > MAX_SUBJECT]
    print(f"{len(lines)} commits since {base[:7]}, {len(long)} with a subject of more than {MAX_SUBJECT} characters")
    print("\n".join(long))
    return 1 if long else 0


def check_message(text: str) -> int:
    """Check the message of a commit that is being made: its first line that is no comment is the subject."""
    subject = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    if len(subject) <= MAX_SUBJECT or subject.startswith("Merge "):
        return 0
    print(f"the subject has {len(subject)} characters, at most {MAX_SUBJECT}: {subject}")
    return 1


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--message":
        sys.exit(check_message(Path(sys.argv[2]).read_text(encoding="utf-8")))
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else BASE))
