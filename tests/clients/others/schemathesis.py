# needs: schemathesis==4.32.5 direct
"""Requests made up from the instance's own document, for so many seconds: no 5xx, no status or content it does not name."""
import os
import subprocess

checks = "not_a_server_error,status_code_conformance,content_type_conformance"
command = [
    "bin/st", "run", os.environ["TIMMY_URL"] + "/api/doc",
    "--max-time", os.environ["TIMMY_FUZZ_SECONDS"],
    "--checks", checks,
    "--header", "Authorization: Bearer " + os.environ["OPENAI_API_KEY"],
    "--header", "X-Nostr-Token: " + os.environ["TIMMY_NOSTR_TOKEN"],
    "--request-timeout", "30",
    "--continue-on-failure",
    "--no-color",
]
done = subprocess.run(command, capture_output=True, text=True)
print(done.stdout[-6_000:] + done.stderr)
assert done.returncode == 0
