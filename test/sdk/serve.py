"""What the scripts of this folder share: calls come as lines of JSON on stdin, and what came of them goes out likewise."""

import hashlib
import json
import sys
import time

import openai


def serve(calls):
    """Makes the named call for each line `{"call", "asking"}` and writes an Outcome as in sdk.ts, until stdin ends."""
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(outcome(calls[asked["call"]], asked["asking"])), flush=True)


def outcome(call, asking):
    sent, parts = [], []
    before = time.monotonic()
    result = {"parts": parts, "sent": sent}
    try:
        result["value"] = call(asking, Recorder(sent, parts))
    except Exception as error:
        result["error"] = described(error)
    result["tookMs"] = (time.monotonic() - before) * 1000
    return result


class Recorder:
    """What a call leaves behind although it fails: the body of each request, and the parts of a stream so far."""

    def __init__(self, sent, parts):
        self.sent = sent
        self.parts = parts

    def http_client(self):
        return openai.DefaultHttpxClient(event_hooks={"request": [self._keep_body]})

    def _keep_body(self, request):
        self.sent.append(hashlib.sha256(request.read()).hexdigest())


def described(error):
    body = getattr(error, "body", None)
    response = getattr(error, "response", None)
    return {
        "class": class_of(error).__name__,
        "isApiError": isinstance(error, openai.APIError),
        "text": str(error),
        "status": getattr(error, "status_code", None),
        "code": getattr(error, "code", None),
        "type": getattr(error, "type", None),
        "param": getattr(error, "param", None),
        "message": body.get("message") if isinstance(body, dict) else None,
        "retryAfter": response.headers.get("retry-after") if response is not None else None,
        "requestId": getattr(error, "request_id", None),
    }


def class_of(error):
    """The SDK's own class, which an application names in its `except`: LangChain raises subclasses of some."""
    return next((known for known in type(error).__mro__ if known.__module__.startswith("openai")), type(error))
