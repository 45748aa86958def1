"""Fetches each URL given and prints its status and body, or why not. Plain standard library."""
import sys
import urllib.error
import urllib.request

for url in sys.argv[1:]:
    try:
        with urllib.request.urlopen(url, timeout=15) as answer:
            print(url, answer.status, answer.read().decode())
    except urllib.error.HTTPError as refusal:
        print(url, "refused", refusal.code, refusal.reason, refusal.read().decode())
    except OSError as reason:
        print(url, "failed", reason)
