# needs: openai==3.57.0
# sends: user seed top_p null
"""The official package for Python: its message objects come back as they are, and as model_dump() writes them."""
import os

from openai import OpenAI

client = OpenAI()
settings = {"model": os.environ["TIMMY_MODEL"], "user": "ada", "seed": 7, "top_p": 0.9}
unset = {"max_tokens": None, "stop": None, "temperature": None, "tools": None, "logit_bias": None, "n": None}

for streamed in (False, True):
    messages = [{"role": "system", "content": "Be brief."}]
    for question in ("What is a hold invoice?", "Who can cancel it?", "Thank you."):
        messages.append({"role": "user", "content": question, "name": "ada"})
        if streamed:
            with client.chat.completions.stream(messages=messages, **settings) as stream:
                message = stream.get_final_completion().choices[0].message
        else:
            message = client.chat.completions.create(messages=messages, **settings, **unset).choices[0].message
        assert question in message.content, message.content
        messages.append(message.model_dump() if question.startswith("What") else message)
