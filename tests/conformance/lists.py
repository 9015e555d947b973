"""The two lists of tests that are expected to fail, and the one way the first may change.

`expected-temporary.toml` says what is not there yet; it may only shrink, so it states its own
count and a longer list is a visible change of that number. `expected-permanent.toml` says where
AWS itself, or the client library of today, no longer does what the suite of 2022 expects; each
group names the rule or the reason.
"""

import re
import sys
import tomllib

TEMPORARY = "expected-temporary.toml"
PERMANENT = "expected-permanent.toml"


def read_lists(folder):
    """The reason of each listed test: first the temporary ones, then the permanent ones."""
    temporary = tomllib.loads((folder / TEMPORARY).read_text())
    permanent = tomllib.loads((folder / PERMANENT).read_text())
    names = _reasons(temporary, TEMPORARY)
    if len(names) != temporary.get("count"):
        sys.exit(f"{TEMPORARY} lists {len(names)} tests and says {temporary.get('count')}: "
                 "the list may only shrink; correct the count")
    for group in permanent.get("group", []):
        if not group.get("rule"):
            sys.exit(f"{PERMANENT}: a group without a rule: {group.get('reason')}")
    return names, _reasons(permanent, PERMANENT)


def _reasons(document, file):
    names = {}
    for group in document.get("group", []):
        if not group.get("reason"):
            sys.exit(f"{file}: a group without a reason")
        for name in group["tests"]:
            if name in names:
                sys.exit(f"{file}: {name} is listed twice")
            names[name] = group["reason"]
    return names


def write_shrunk(folder, passed):
    """Takes the tests that pass off the temporary list, and groups that became empty."""
    path = folder / TEMPORARY
    kept = [
        line for line in path.read_text().splitlines()
        if not ((match := re.fullmatch(r'\s*"([^"]+)",', line)) and match[1] in passed)
    ]
    text = "\n".join(kept) + "\n"
    text = re.sub(r'\n\[\[group\]\]\nreason = [^\n]*\ntests = \[\n\]\n', "\n", text)
    count = len(re.findall(r'^\s*"[^"]+",$', text, flags=re.MULTILINE))
    path.write_text(re.sub(r"^count = \d+$", f"count = {count}", text, flags=re.MULTILINE))
