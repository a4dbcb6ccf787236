"""The calls of openai-calls.ts, made by the Python SDK. Each gives the SDK's own objects as plain JSON."""

import base64
import hashlib

from openai import OpenAI
from serve import serve

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city – now",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
QUESTION = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße – «hi» 👋"}]


def client_of(asking, recorder):
    return OpenAI(
        base_url=asking["url"],
        api_key=asking.get("apiKey", "any"),
        max_retries=asking.get("maxRetries", 0),
        timeout=asking.get("timeoutMs", 20_000) / 1000,
        http_client=recorder.http_client(),
    )


def plain(answer):
    return answer.model_dump(mode="json", exclude_unset=True)


def chat(asking, recorder):
    with client_of(asking, recorder) as client:
        answer = client.chat.completions.create(
            model=asking.get("model", "chat"), messages=QUESTION, extra_body=asking.get("extra")
        )
        return {**plain(answer), "requestId": answer._request_id}


def stream(asking, recorder):
    with client_of(asking, recorder) as client:
        chunks = client.chat.completions.create(
            model="chat", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
        for chunk in chunks:
            recorder.parts.append(plain(chunk))


def tools(asking, recorder):
    with client_of(asking, recorder) as client:
        messages = [*QUESTION]
        asked = client.chat.completions.create(model="chat", messages=messages, tools=[WEATHER], tool_choice="auto")
        message = asked.choices[0].message
        call = message.tool_calls[0]
        messages.append(message)
        messages.append({"role": "tool", "tool_call_id": call.id, "content": "11 °C"})
        answer = client.chat.completions.create(model="chat", messages=messages, tools=[WEATHER])
        return {"reason": asked.choices[0].finish_reason, "call": plain(call), "answer": answer.choices[0].message.content}


def tools_streamed(asking, recorder):
    with client_of(asking, recorder) as client:
        with client.chat.completions.stream(model="chat", messages=QUESTION, tools=[WEATHER]) as events:
            for event in events:
                if event.type == "tool_calls.function.arguments.delta":
                    recorder.parts.append(event.arguments_delta)
            choice = events.get_final_completion().choices[0]
            function = choice.message.tool_calls[0].function
            return {"reason": choice.finish_reason, "name": function.name, "arguments": function.arguments}


def vision(asking, recorder):
    with client_of(asking, recorder) as client:
        content = [
            {"type": "text", "text": "What is on it?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + asking["base64"], "detail": "high"}},
        ]
        messages = [{"role": "user", "content": content}]
        return plain(client.chat.completions.create(model="chat", messages=messages))


def completion(asking, recorder):
    with client_of(asking, recorder) as client:
        return plain(client.completions.create(model="chat", prompt="Once"))


def embeddings(asking, recorder):
    with client_of(asking, recorder) as client:
        format = {"encoding_format": asking["format"]} if "format" in asking else {}
        answer = client.embeddings.create(model="chat", input=["a", "ü"], **format)
        return [one.embedding for one in answer.data]


def transcription(asking, recorder):
    with client_of(asking, recorder) as client:
        sound = ("speech.wav", base64.b64decode(asking["base64"]), "audio/wav")
        return client.audio.transcriptions.create(model="chat", file=sound, language="pl").text


def speech(asking, recorder):
    with client_of(asking, recorder) as client:
        answer = client.audio.speech.create(model="chat", voice="alloy", input="Dzień dobry")
        type = answer.response.headers["content-type"]
        return {"sha256": hashlib.sha256(answer.content).hexdigest(), "type": type}


def response(asking, recorder):
    with client_of(asking, recorder) as client:
        answer = client.responses.create(model="chat", instructions="Be brief.", input="Grüße")
        return {"text": answer.output_text, "status": answer.status, "tokens": answer.usage.total_tokens}


def response_streamed(asking, recorder):
    with client_of(asking, recorder) as client:
        for event in client.responses.create(model="chat", input="Grüße", stream=True):
            recorder.parts.append({"type": event.type, "delta": getattr(event, "delta", "")})


def models(asking, recorder):
    with client_of(asking, recorder) as client:
        return [model.id for model in client.models.list()]


def model(asking, recorder):
    with client_of(asking, recorder) as client:
        return client.models.retrieve(asking["model"]).id


if __name__ == "__main__":
    calls = [chat, stream, tools, tools_streamed, vision, completion, embeddings, transcription, speech, response]
    serve({call.__name__: call for call in [*calls, response_streamed, models, model]})
