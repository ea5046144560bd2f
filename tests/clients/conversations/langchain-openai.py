# needs: langchain-openai==1.7.4
# sends: user seed top_p
"""LangChain's chat model: its AI messages come back, streamed ones as the sum of their chunks."""
import os

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI

chat = ChatOpenAI(model=os.environ["TIMMY_MODEL"], seed=7, top_p=0.9, model_kwargs={"user": "ada"})

for streamed in (False, True):
    messages = [SystemMessage("Be brief.")]
    for question in ("What is a hold invoice?", "Who can cancel it?", "Thank you."):
        messages.append(HumanMessage(question))
        if streamed:
            first, *rest = chat.stream(messages)
            answer = sum(rest, first)
        else:
            answer = chat.invoke(messages)
        assert question in answer.text, answer
        messages.append(answer)
