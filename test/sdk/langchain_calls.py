"""What LangChain's client does for an application: chat, streams, tools, images, embeddings. Each gives plain JSON."""

import asyncio

from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel
from serve import serve

QUESTION = [SystemMessage("Be brief."), HumanMessage("Grüße – «hi» 👋")]


@tool
def weather(city: str) -> str:
    """Weather of a city – now."""
    return f"11 °C in {city}"


class City(BaseModel):
    """A place to look at."""

    city: str


def llm_of(asking, recorder=None, **more):
    return ChatOpenAI(
        base_url=asking["url"],
        api_key=asking.get("apiKey", "any"),
        model=asking.get("model", "chat"),
        max_retries=asking.get("maxRetries", 0),
        timeout=asking.get("timeoutMs", 20_000) / 1000,
        **({} if recorder is None else {"http_client": recorder.http_client()}),
        **more,
    )


def said(message):
    usage = message.usage_metadata
    tokens = None if usage is None else [usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]]
    return {"text": message.text, "model": message.response_metadata.get("model_name"), "tokens": tokens}


def chat(asking, recorder):
    return said(llm_of(asking, recorder).invoke(QUESTION))


def stream(asking, recorder):
    whole = None
    for chunk in llm_of(asking, recorder, stream_usage=True).stream(QUESTION):
        recorder.parts.append(chunk.text)
        whole = chunk if whole is None else whole + chunk
    return said(whole)


def stream_async(asking, recorder):
    async def run():
        async for chunk in llm_of(asking).astream(QUESTION):
            recorder.parts.append(chunk.text)

    asyncio.run(run())


def batch(asking, recorder):
    return [message.text for message in llm_of(asking).batch([QUESTION] * 8)]


def tools(asking, recorder):
    llm = llm_of(asking, recorder).bind_tools([weather])
    asked = llm.invoke(QUESTION)
    call = asked.tool_calls[0]
    answer = llm.invoke([*QUESTION, asked, ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])])
    return {"call": {"name": call["name"], "args": call["args"]}, "answer": answer.text}


def tools_streamed(asking, recorder):
    whole = None
    for chunk in llm_of(asking, recorder).bind_tools([weather]).stream(QUESTION):
        recorder.parts.append(chunk.text)
        whole = chunk if whole is None else whole + chunk
    return [{"name": call["name"], "args": call["args"]} for call in whole.tool_calls]


def structured(asking, recorder):
    llm = llm_of(asking, recorder).with_structured_output(City, method="function_calling")
    return llm.invoke(QUESTION).model_dump()


def vision(asking, recorder):
    url = "data:image/png;base64," + asking["base64"]
    content = [{"type": "text", "text": "What is on it?"}, {"type": "image_url", "image_url": {"url": url}}]
    return said(llm_of(asking, recorder).invoke([HumanMessage(content)]))


def response(asking, recorder):
    return said(llm_of(asking, recorder, use_responses_api=True).invoke(QUESTION))


def embeddings(asking, recorder):
    # By itself it counts tokens, with tables that it downloads for OpenAI's own models.
    embed = OpenAIEmbeddings(
        base_url=asking["url"], api_key="any", model="chat", max_retries=0, check_embedding_ctx_length=False
    )
    return {"documents": embed.embed_documents(["a", "ü"]), "query": embed.embed_query("a")}


if __name__ == "__main__":
    calls = [chat, stream, stream_async, batch, tools, tools_streamed, structured, vision, response, embeddings]
    serve({call.__name__: call for call in calls})
