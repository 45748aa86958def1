"""An agent without any SDK: asks the vendor's API with the key it was given, over HTTPS and over the base URL."""
import json
import os
import sys
import urllib.error
import urllib.request


def ask(url, key, body=None):
    request = urllib.request.Request(url, data=body, headers={
        "Authorization": "Bearer " + key, "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.reason + " " + refusal.read().decode(), dict(refusal.headers)


key = os.environ.get("OPENAI_API_KEY", "none")
bases = {"https": "https://api.openai.com/v1", "base": os.environ.get("OPENAI_BASE_URL", "")}
body = json.dumps({"model": "model-1", "messages": []}).encode()
print("key", key)
for way in sys.argv[1:] or ["https", "base"]:
    status, text, _ = ask(bases[way] + "/chat/completions", key, body)
    print(way, status, text)
