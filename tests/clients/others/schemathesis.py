# needs: schemathesis==4.32.5 direct
"""
Requests made up from the instance's own document, for so many seconds: no 5xx, no status or content it does not name. Half of
the time as the document stands, half with the ids of a job, of a model and of the session whose token is shown, which is not
closed: otherwise almost every id is nobody's.
"""
import json
import os
import pathlib
import re
import subprocess
import urllib.request

URL = os.environ["TIMMY_URL"]
SECONDS = max(1, int(os.environ["TIMMY_FUZZ_SECONDS"]) // 2)
JOB, SESSION, REQUEST, MODEL = (os.environ["TIMMY_" + name] for name in ("JOB", "SESSION", "REQUEST", "MODEL"))
KNOWN = {
    "jobs": f'"path.id" = "{JOB}"',
    "sessions": f'"path.id" = "{SESSION}", "path.requestId" = "{REQUEST}"',
    "v1/models": f'"path.id" = "{MODEL}"',
}
SETTINGS = pathlib.Path("schemathesis.toml")


def run(document, *more):
    command = [
        "bin/st", "run", document, "--url", URL,
        "--max-time", str(SECONDS),
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance",
        "--header", "Authorization: Bearer " + os.environ["OPENAI_API_KEY"],
        "--header", "X-Nostr-Token: " + os.environ["TIMMY_NOSTR_TOKEN"],
        "--request-timeout", "30",
        "--continue-on-failure",
        "--no-color",
        *more,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr
    cases, seed = (re.search(pattern, done.stdout) for pattern in (r"\d+ generated, \d+ passed", r"Seed: \d+"))
    print("note:", cases[0], seed[0])
    return done.stdout


SETTINGS.unlink(missing_ok=True)
run(URL + "/api/doc")

SETTINGS.write_text("".join(
    f"[[operations]]\ninclude-path-regex = '^/api/{path}/'\nparameters = {{ {values} }}\n" for path, values in KNOWN.items()
))
document = json.load(urllib.request.urlopen(URL + "/api/doc"))
document["components"]["schemas"]["ChatCompletionRequest"]["properties"]["model"]["enum"] = [MODEL]
pathlib.Path("known.json").write_text(json.dumps(document))
said = run("known.json", "--exclude-operation-id", "closeSession")
# Its own warnings about operations that answered nothing but 401, 403 or 404: then the ids were not used.
unreached = [said.partition(warning)[2].partition("💡")[0] for warning in ("Authentication failed", "Missing test data")]
assert not re.search(r"GET /api/(jobs|sessions)/\{id\}", "".join(unreached)), said[-5_000:]
