"""Stands in for the native engine: installed as `xllamacpp` where a child process looks for it."""

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class CommonParams(SimpleNamespace):
    def __init__(self):
        super().__init__(model=SimpleNamespace(path=""), sampling=SimpleNamespace(temp=0.8))


class Server:
    def __init__(self, params: Any):
        home = Path(params.model.path).parent
        with (home / "starts").open("a") as starts:
            starts.write(f"{os.getpid()}\n")
        os.write(1, b"noise on stdout\n")
        if (home / "broken").exists():
            raise RuntimeError("cannot load these weights")
        while (home / "gate").exists():
            time.sleep(0.005)
        (home / "params").write_text(
            json.dumps([params.n_ctx, params.n_predict, params.sampling.temp, params.hostnames])
        )
        server: Any = ThreadingHTTPServer((params.hostnames[0], params.port), Answer)
        server.daemon_threads = True
        server.home, server.key = home, params.api_keys[0]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.listening_address = f"http://127.0.0.1:{server.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Any

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        (self.server.home / "body").write_text(json.dumps(body))
        is_known = self.headers.get("authorization") == f"Bearer {self.server.key}"
        self.send_response(200 if is_known and self.path == "/v1/responses" else 401)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        if not is_known:
            return
        self.event("response.output_text.delta", delta="Paris")
        match body["input"][-1]["content"][0]["text"]:
            case "hang":
                time.sleep(60)
            case "die":
                os.write(2, b"out of memory\n")
                os._exit(3)
            case _:
                self.event("response.completed", response={"output": [], "usage": None})

    def event(self, kind: str, **members: Any):
        self.wfile.write(f"data: {json.dumps({'type': kind, **members})}\n\n".encode())

    def log_message(self, format: str, *args: Any):  # noqa: A002 - the library's name
        pass
