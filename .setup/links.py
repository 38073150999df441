#!/usr/bin/env python3
"""Do the links of the documents lead somewhere? Files and headings; nothing is fetched. `links.py [FOLDER]`: every .md below it, without one those of
the checkout that git knows. Exit code 1 and one line for each that does not."""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")


def prose(text):
    """The text without its code."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", lambda code: " " * len(code.group()) if "](" in code.group() else code.group(), text)


def anchors(path):
    """What can be linked to in a document: its headings as GitHub spells them."""
    found, seen = set(), {}
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", text, flags=re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", plain.replace("`", "")).replace(" ", "-")
        count = seen.get(name, 0)
        seen[name] = count + 1
        found.add(name if count == 0 else f"{name}-{count}")
    return found


def targets(path):
    """Links of a document to files and headings: (line, link)."""
    text = prose(path.read_text())
    for match in LINK.finditer(text):
        link = match.group(1)
        if not re.match(r"[a-z]+:", link):
            yield text.count("\n", 0, match.start()) + 1, link


def broken(path):
    """What is wrong with the links of a document."""
    for line, link in targets(path):
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        if not target.exists():
            yield f"{path}:{line}: there is no {link}"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            yield f"{path}:{line}: {link}: no heading of that name"


def documents(folder=None):
    """The documents to look at."""
    if folder is not None:
        return sorted(Path(folder).rglob("*.md"))
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split() if (ROOT / name).exists()]


if __name__ == "__main__":
    found = [problem for path in documents(*sys.argv[1:2]) for problem in broken(path)]
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)
