"""Prints all that a curious program can read about itself: environment, /proc/self, every file of its own
temporary and configuration folders; then looks through its own memory for the marker of a real key."""
import glob
import os
import re

for name, value in sorted(os.environ.items()):
    print("env", name, value)
for path in sorted(glob.glob("/proc/self/*")) + sorted(glob.glob("/proc/self/task/*/*")):
    try:
        with open(path, "rb") as file:
            print("file", path, file.read(1 << 20).decode("utf-8", "replace"))
    except OSError:
        pass
for descriptor in os.listdir("/proc/self/fd"):
    try:
        print("fd", descriptor, os.readlink("/proc/self/fd/" + descriptor))
    except OSError:
        pass
for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"):
    if name in os.environ:
        with open(os.environ[name], encoding="utf-8", errors="replace") as bundle:
            text = bundle.read()
        print("bundle", name, "certificates", text.count("BEGIN CERTIFICATE"), "keys", text.count("PRIVATE" + " KEY"))
for folder, _, names in os.walk("/tmp"):
    for name in names:
        try:
            with open(os.path.join(folder, name), "rb") as file:
                print("file", folder, name, file.read(1 << 20).decode("utf-8", "replace"))
        except OSError:
            pass

# The marker is put together here, so that this program's own text is not what it finds.
marker = re.compile(("sk-" + "re" + "al-").encode() + b"[0-9a-f]{8}")
found = 0
with open("/proc/self/maps", encoding="ascii") as maps, open("/proc/self/mem", "rb", 0) as memory:
    for line in maps:
        where, mode = line.split()[:2]
        start, end = (int(part, 16) for part in where.split("-"))
        if not mode.startswith("r") or "[v" in line:
            continue
        try:
            memory.seek(start)
            found += len(marker.findall(memory.read(end - start)))
        except (OSError, ValueError, OverflowError):
            pass
print("memory holds", found, "real keys")
