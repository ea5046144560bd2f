# needs: litellm==1.110.2
# sends: user seed top_p
"""LiteLLM, as an OpenAI-compatible provider: its message objects come back, streamed ones as its own builder makes them."""
import os

# Its list of prices comes with the package: otherwise it is fetched from elsewhere while it is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

settings = {"model": "openai/" + os.environ["TIMMY_MODEL"], "user": "ada", "seed": 7, "top_p": 0.9}

for streamed in (False, True):
    messages = [{"role": "system", "content": "Be brief."}]
    for question in ("What is a hold invoice?", "Who can cancel it?", "Thank you."):
        messages.append({"role": "user", "content": question})
        answer = litellm.completion(messages=messages, stream=streamed, allowed_openai_params=["user"], **settings)
        if streamed:
            answer = litellm.stream_chunk_builder(list(answer), messages=messages)
        message = answer.choices[0].message
        assert question in message.content, message.content
        messages.append(message.model_dump() if question.startswith("What") else message)
