"""hot_profile.py FOLDER OUT: what instrumented runs left in FOLDER as one profile, of the functions that matter."""

import pathlib
import re
import subprocess
import sys
import tempfile

PROFDATA = "llvm-profdata-19"
HOT = 1 / 2_000  # of the count of the most frequent path: colder functions are left to the compiler


def functions(text):
    """The records of a profile in text: name, hash, number of counters, counters, and perhaps values."""
    lines = text.splitlines(keepends=True)
    start = next(at for at, line in enumerate(lines) if not line.startswith((":", "#")) and line.strip())
    return "".join(lines[:start]), re.split(r"\n\n(?=\S)", "".join(lines[start:]).rstrip("\n"))


def hottest(record):
    """The highest counter of a record."""
    lines = record.splitlines()
    at = lines.index("# Num Counters:")
    count = int(lines[at + 1])
    first = lines.index("# Counter Values:") + 1
    return max(int(line) for line in lines[first:first + count])


def main():
    folder, out = map(pathlib.Path, sys.argv[1:])
    raw = sorted(map(str, folder.glob("*.profraw")))
    if not raw:
        sys.exit(f"hot_profile: nothing in {folder}")
    text = subprocess.run([PROFDATA, "merge", "--text", "-o", "-", *raw], check=True, capture_output=True, text=True).stdout
    head, records = functions(text)
    counts = [hottest(record) for record in records]
    least = max(counts) * HOT
    kept = [record for record, count in zip(records, counts) if count >= least]
    with tempfile.NamedTemporaryFile("w", suffix=".proftext") as hot:
        hot.write(head + "\n\n".join(kept) + "\n\n")
        hot.flush()
        subprocess.run([PROFDATA, "merge", "-o", str(out), hot.name], check=True)
    print(f"{out}: {len(kept)} of {len(records)} functions, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
