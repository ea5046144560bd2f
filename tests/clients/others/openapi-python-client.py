# needs: openapi-python-client==0.29.1
"""A client made from the instance's own document: nothing of it is left out, and every GET route and the chat are called."""
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request

URL = os.environ["TIMMY_URL"]
paths = json.load(urllib.request.urlopen(URL + "/api/doc"))["paths"]

shutil.rmtree("made", ignore_errors=True)
command = ["openapi-python-client", "generate", "--url", URL + "/api/doc", "--output-path", "made", "--fail-on-warning"]
done = subprocess.run(command, capture_output=True, text=True)
assert done.returncode == 0 and "WARNING" not in done.stdout + done.stderr, done.stdout + done.stderr

sys.path.insert(0, "made")
package = importlib.import_module("timmy_client")
models = importlib.import_module("timmy_client.models")
snake = lambda name: re.sub(r"(?<!^)(?=[A-Z])|[- ]", "_", name).lower()


def function(operation):
    module = f"timmy_client.api.{snake(operation['tags'][0])}.{snake(operation['operationId'])}"
    return importlib.import_module(module).sync_detailed


def about(path):
    names = {"/api/jobs": "JOB", "/api/sessions": "SESSION", "/api/bootstrap": "BOOTSTRAP"}
    name = next((name for start, name in names.items() if path.startswith(start)), "MODEL")
    return os.environ["TIMMY_" + name]


bearing = package.AuthenticatedClient(base_url=URL, token=os.environ["OPENAI_API_KEY"], timeout=60)
identity = {"X-Nostr-Token": os.environ["TIMMY_NOSTR_TOKEN"]}
signed_in = package.AuthenticatedClient(
    base_url=URL, token=identity["X-Nostr-Token"], prefix="", auth_header_name="X-Nostr-Token", timeout=60
)
for path, routes in paths.items():
    if "get" not in routes:
        continue
    call = function(routes["get"])
    arguments = {"client": signed_in if path.startswith("/api/identity") else bearing}
    for parameter in routes["get"].get("parameters", []):
        if parameter["in"] == "path":
            value = os.environ["TIMMY_REQUEST"] if parameter["name"] == "requestId" else about(path)
            arguments["id" if parameter["name"] == "id" else snake(parameter["name"])] = value
        elif parameter["required"] and parameter["in"] == "query":
            asked = "ab" * 32 if parameter["name"] == "nonce" else "What is a hold invoice?"
            arguments[snake(parameter["name"])] = asked
    names = {name.rstrip("_"): name for name in inspect.signature(call).parameters}
    answer = call(**{names[name]: value for name, value in arguments.items()})
    assert answer.status_code == 200, (path, answer.status_code, answer.content)
    # Streams and metrics are text; everything else was read into the model that the document names.
    assert answer.parsed is not None or "json" not in answer.headers["content-type"], (path, answer.content)

body = {"model": os.environ["TIMMY_MODEL"], "messages": [{"role": "user", "content": "What is a hold invoice?"}]}
chat = function(paths["/api/v1/chat/completions"]["post"])
answer = chat(client=bearing, body=models.ChatCompletionRequest.from_dict(body))
assert answer.status_code == 200, answer.content
assert "hold invoice" in answer.parsed.choices[0].message.content
