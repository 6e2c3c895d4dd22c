"""A real HTTP server that speaks `/v1/completions` as vLLM does, on the documented fields, over a real (tiny) Mistral; and the
ways in which a server goes wrong."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KEY = "key-for-tests"


class Model:
    """Next-token log probabilities of a model, computed the plain way: one prompt at a time, whole logits."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer
        from transformers import MistralForCausalLM

        self._model = MistralForCausalLM.from_pretrained(folder).eval()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._lock = threading.Lock()

    def after(self, ids: list[int]) -> Any:
        import torch

        with self._lock, torch.no_grad():
            logits = self._model(input_ids=torch.tensor([ids])).logits[0, -1].float()
        return torch.log_softmax(logits, 0)


@dataclass
class Behaviour:
    """How the server answers now. ``faults`` are taken one a request, then it answers well; ``always`` goes before them."""

    served: str = "labcue"
    knows_token_ids: bool = True
    faults: list[str] = field(default_factory=list)
    always: str | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)
    release: threading.Event = field(default_factory=threading.Event)
    began: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def fault(self) -> str | None:
        return self.always or (self.faults.pop(0) if self.faults else None)


def choices(model: Model, asked: dict[str, Any], knows_token_ids: bool) -> list[dict[str, Any]]:
    """As vLLM with raw log probabilities: those asked for by id, else the likeliest, and the sampled token's."""
    found = []
    for index, prompt in enumerate(asked["prompt"]):
        logprobs = model.after(prompt)
        allowed = asked.get("allowed_token_ids") or list(range(len(logprobs)))
        bias = {int(token): value for token, value in (asked.get("logit_bias") or {}).items()}
        chosen = max(allowed, key=lambda token: float(logprobs[token]) + bias.get(token, 0.0))
        if knows_token_ids and asked.get("logprob_token_ids"):
            kept = [chosen, *asked["logprob_token_ids"]]
        else:
            if bias:
                import torch

                biased = logprobs.clone()
                for token, value in bias.items():
                    biased[token] += value
                logprobs = torch.log_softmax(biased, 0)
            kept = [chosen, *logprobs.topk(asked["logprobs"]).indices.tolist()]

        def written(token: int) -> str:
            if asked.get("return_tokens_as_token_ids"):
                return f"token_id:{token}"
            return str(model.tokenizer.decode([token], skip_special_tokens=False))

        top = {written(token): max(float(logprobs[token]), -9999.0) for token in dict.fromkeys(kept)}
        found.append(
            {
                "index": index,
                "text": written(chosen),
                "finish_reason": "length",
                "logprobs": {
                    "tokens": [written(chosen)],
                    "token_logprobs": [float(logprobs[chosen])],
                    "top_logprobs": [top],
                },
            }
        )
    return found


def written(model: Model, asked: dict[str, Any]) -> dict[str, Any]:
    """The likeliest continuation, to the end token (2), a stop text or the cap."""
    ids = list(asked["prompt"])
    made: list[int] = []
    while len(made) < asked["max_tokens"]:
        token = int(model.after(ids + made).argmax())
        if token == 2:
            return {"index": 0, "text": model.tokenizer.decode(made), "finish_reason": "stop"}
        made.append(token)
        text = model.tokenizer.decode(made)
        for stop in asked.get("stop") or []:
            if stop in text:
                return {"index": 0, "text": text.split(stop)[0], "finish_reason": "stop"}
    return {"index": 0, "text": model.tokenizer.decode(made), "finish_reason": "length"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: Model
    behaviour: Behaviour

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        if self._refused():
            return
        self._send(200, {"object": "list", "data": [{"id": self.behaviour.served, "object": "model"}]})

    def do_POST(self) -> None:
        behaviour = self.behaviour
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        asked = json.loads(raw)
        behaviour.requests.append(asked)
        behaviour.heads.append(dict(self.headers))
        behaviour.connections.add(self.client_address)
        behaviour.began.release()
        if self._refused():
            return
        fault = behaviour.fault()
        if fault is not None:
            getattr(self, f"_{fault}")(asked)
            return
        if asked["model"] != behaviour.served:
            self._send(404, {"error": {"message": f"The model {asked['model']} does not exist."}})
            return
        self._send(200, self._answer(asked))

    def _refused(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {KEY}":
            return False
        self._send(401, {"error": "Unauthorized"})
        return True

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        if isinstance(asked["prompt"][0], int):
            made, tokens = [written(self.model, asked)], len(asked["prompt"])
        else:
            made = choices(self.model, asked, self.behaviour.knows_token_ids)
            tokens = sum(map(len, asked["prompt"]))
        return {
            "id": "cmpl-1",
            "object": "text_completion",
            "model": self.behaviour.served,
            "choices": made,
            "usage": {"prompt_tokens": tokens, "completion_tokens": len(made), "total_tokens": tokens + len(made)},
        }

    def _send(self, status: int, body: Any, kind: str = "application/json", **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    # Ways to go wrong

    def _error500(self, asked: dict[str, Any]) -> None:
        self._send(500, {"error": {"message": str(asked["prompt"])}})

    def _error503(self, asked: dict[str, Any]) -> None:
        self._send(503, b"<html>no upstream</html>", "text/html")

    def _error400(self, asked: dict[str, Any]) -> None:
        self._send(400, {"error": {"message": str(asked["prompt"])}})

    def _busy(self, asked: dict[str, Any]) -> None:
        self._send(429, {"error": "too many"}, Retry_After="7")

    def _redirect(self, asked: dict[str, Any]) -> None:
        self._send(307, b"", Location="http://127.0.0.1:9/elsewhere")

    def _reset(self, asked: dict[str, Any]) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _hang(self, asked: dict[str, Any]) -> None:
        self.behaviour.release.wait(30)
        self.close_connection = True

    def _drip(self, asked: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        try:
            while not self.behaviour.release.wait(0.02):
                self.wfile.write(b" ")
        except OSError:
            pass
        self.close_connection = True

    def _half(self, asked: dict[str, Any]) -> None:
        data = json.dumps(self._answer(asked)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.connection.close()
        self.close_connection = True

    def _html(self, asked: dict[str, Any]) -> None:
        self._send(200, b"<html>welcome to the captive portal</html>", "text/html")

    def _not_json(self, asked: dict[str, Any]) -> None:
        self._send(200, b'{"choices": [')

    def _too_few(self, asked: dict[str, Any]) -> None:
        answer = self._answer(asked)
        answer["choices"].pop()
        self._send(200, answer)

    def _one_twice(self, asked: dict[str, Any]) -> None:
        answer = self._answer(asked)
        answer["choices"][-1]["index"] = 0
        self._send(200, answer)

    def _no_logprobs(self, asked: dict[str, Any]) -> None:
        answer = self._answer(asked)
        for choice in answer["choices"]:
            choice["logprobs"] = None
        self._send(200, answer)

    def _other_model(self, asked: dict[str, Any]) -> None:
        self._send(200, self._answer(asked) | {"model": "another"})

    def _cut(self, asked: dict[str, Any]) -> None:
        answer = self._answer(asked)
        answer["usage"]["prompt_tokens"] -= 1
        self._send(200, answer)

    def _top(self, asked: dict[str, Any], top: dict[str, Any]) -> None:
        answer = self._answer(asked)
        for choice in answer["choices"]:
            choice["logprobs"]["top_logprobs"] = [top]
        self._send(200, answer)

    def _other_labels(self, asked: dict[str, Any]) -> None:
        self._top(asked, {"token_id:5": -0.1, "token_id:6": -2.4})

    def _label_in_doubt(self, asked: dict[str, Any]) -> None:
        """One label and four other tokens that are as likely: the six that are missing may be, too."""
        self._top(
            asked, {f"token_id:{asked['allowed_token_ids'][0]}": -1.6, **{f"token_id:{n}": -1.6 for n in range(3, 7)}}
        )

    def _nan(self, asked: dict[str, Any]) -> None:
        self._top(asked, {f"token_id:{token}": float("nan") for token in asked["allowed_token_ids"]})

    def _words(self, asked: dict[str, Any]) -> None:
        self._top(asked, {f"token_id:{token}": "-1.0" for token in asked["allowed_token_ids"]})

    def _above_one(self, asked: dict[str, Any]) -> None:
        self._top(asked, {f"token_id:{token}": 0.5 for token in asked["allowed_token_ids"]})


@contextmanager
def serve(folder: Path, behaviour: Behaviour) -> Iterator[str]:
    """The server on loopback for the length of the block; gives the URL of its API."""
    handler = type("Bound", (Handler,), {"model": Model(folder), "behaviour": behaviour})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        behaviour.release.set()
        server.shutdown()
        thread.join()
        server.server_close()
