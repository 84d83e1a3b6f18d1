"""An HTTP server in threads of its own."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .api import Answer, answer

log = logging.getLogger("millrace.rest")

_MOST_BYTES = 1 << 20
_PATIENCE_S = 10.0


class RestServer:
    """Listens, and hands each request on.

    Args:
        address: name or address to listen on; ``"0.0.0.0"`` is every interface of the machine.
        port: number of the port.
        handle: called with method, path and body in one of the server's threads; what it raises becomes an answer.

    Raises:
        OSError: the address cannot be listened on.
    """

    def __init__(self, address: str, port: int, handle: Callable[[str, str, bytes], Answer]) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET

        class Server(ThreadingHTTPServer):
            address_family = family
            daemon_threads = True
            block_on_close = False

        class Handler(_Handler):
            pass

        Handler.handle_request = staticmethod(handle)
        self._server = Server((address, port), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, name=f"rest:{port}", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Stop listening. May be called from a request: it is answered all the same."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Millrace"
    timeout = _PATIENCE_S
    handle_request: Callable[[str, str, bytes], Answer]

    def do_GET(self) -> None:
        """A question."""
        self._do("GET")

    def do_POST(self) -> None:
        """An order."""
        self._do("POST")

    def do_PUT(self) -> None:
        """No request takes this; the answer says so."""
        self._do("PUT")

    def do_DELETE(self) -> None:
        """No request takes this; the answer says so."""
        self._do("DELETE")

    def _do(self, method: str) -> None:
        path = self.path.partition("?")[0]
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        if not 0 <= length <= _MOST_BYTES:
            self._send(answer(f"the request is longer than {_MOST_BYTES} bytes", HTTPStatus.REQUEST_ENTITY_TOO_LARGE))
            return
        try:
            result = type(self).handle_request(method, path, self.rfile.read(length))
        except Exception as error:  # the client shall hear of it, and the server go on
            log.exception("%s %s failed", method, path)
            result = answer(f"{type(error).__name__}: {error}", HTTPStatus.INTERNAL_SERVER_ERROR)
        self._send(result)

    def _send(self, result: Answer) -> None:
        code, content = result
        body = json.dumps(content, indent=3).encode()
        self.send_response(code)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Into the log, not to stderr."""
        log.info("%s %s", self.address_string(), format % args)
