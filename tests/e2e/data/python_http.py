"""python_http.py: urllib and requests (pip's own copy) with the proxy variables alone. One line for each."""

import urllib.request

from pip._vendor import requests


def pieces():
    for _ in range(20):
        yield b"x" * 5000


for scheme in ("http", "https"):
    url = scheme + "://example.com"
    with urllib.request.urlopen(url + "/hello", timeout=30) as answer:
        print("urllib", answer.status, answer.read())
    with urllib.request.urlopen(url + "/upload", data=b"y" * 100000, timeout=30) as answer:
        print("urllib upload", b'"bytes": 100000' in answer.read())
    with requests.Session() as session:
        print("requests", session.get(url + "/chunked", timeout=30).text)
        # In the clear, pip's copy forgets its Proxy-Authorization with a generator.
        data = pieces() if scheme == "https" else b"x" * 100000
        print("requests upload", session.post(url + "/upload", data=data, timeout=30).json()["bytes"])
        print("requests again", session.get(url + "/304", timeout=30).status_code,
              session.head(url + "/big", timeout=30).headers["Content-Length"],
              len(session.get(url + "/big", timeout=30).content))
    try:
        print("refused", requests.get(scheme + "://evil.example/", timeout=30).status_code)
    except requests.exceptions.ProxyError as error:
        print("refused", "403" in str(error))
