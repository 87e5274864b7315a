"""Ask a lab host's model, on the host itself: its engine listens on loopback alone."""

from __future__ import annotations

import json
import shlex

from lab.hosts import LabHost

_SCRIPT = """
import json, sys, urllib.request
base, question = "http://127.0.0.1:8000/v1", sys.argv[1]
model = json.load(urllib.request.urlopen(base + "/models"))["data"][0]["id"]
message = {"role": "user", "content": question}
body = {"model": model, "max_tokens": 64, "messages": [message]}
request = urllib.request.Request(
    base + "/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
)
answer = json.load(urllib.request.urlopen(request, timeout=120))
print(json.dumps([model, answer["choices"][0]["message"]["content"]]))
"""


def ask(host: LabHost, question: str) -> tuple[str, str]:
    """The name of the model that HOST serves, and what it answers.

    Raises LabError, with what was printed, where no answer comes.
    """
    asked = host.ssh(f"python3 - {shlex.quote(question)}", input_text=_SCRIPT, check=True)
    model, answer = json.loads(asked.stdout)
    return str(model), str(answer)
