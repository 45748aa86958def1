"""The vendor's own SDK: one plain and one streamed completion. With `plain-url` in the arguments the
*_BASE_URL variable is dropped, so that the SDK goes to the vendor's own name and is intercepted."""
import os
import sys

if "plain-url" in sys.argv:
    os.environ.pop("OPENAI_BASE_URL", None)

import openai  # noqa: E402  (reads the variable when imported)

client = openai.OpenAI(max_retries=0, timeout=30)
print("base", client.base_url)
print("key", client.api_key)
messages = [{"role": "user", "content": "hello"}]
plain = client.chat.completions.create(model="model-1", messages=messages)
print("plain:", plain.choices[0].message.content)
words = []
for event in client.chat.completions.create(model="model-1", messages=messages, stream=True):
    words.append(event.choices[0].delta.content or "")
print("streamed:", "".join(words).strip(), "in", len(words), "events")
print("models:", [model.id for model in client.models.list()])
