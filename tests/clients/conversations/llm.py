# needs: llm==0.36
# sends: seed top_p
"""The llm command with an extra OpenAI-compatible model, as its user sets it up and goes on with a conversation."""
import json
import os
import pathlib
import subprocess
import tempfile

with tempfile.TemporaryDirectory() as folder:
    model = {
        "model_id": "timmy",
        "model_name": os.environ["TIMMY_MODEL"],
        "api_base": os.environ["OPENAI_BASE_URL"],
        "api_key_name": "timmy",
    }
    path = pathlib.Path(folder)
    (path / "extra-openai-models.yaml").write_text(json.dumps([model]))  # JSON is YAML
    (path / "keys.json").write_text(json.dumps({"timmy": os.environ["OPENAI_API_KEY"]}))

    def llm(*arguments):
        environment = {**os.environ, "LLM_USER_PATH": folder}
        done = subprocess.run(["bin/llm", *arguments], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    for streamed in (False, True):
        for turn, question in enumerate(("What is a hold invoice?", "Who can cancel it?", "Thank you.")):
            first = ["-m", "timmy", "-s", "Be brief."] if turn == 0 else ["-c"]
            whole = [] if streamed else ["--no-stream"]
            said = llm(question, *first, *whole, "-o", "seed", "7", "-o", "top_p", "0.9")
            assert question in said, said
