"""A collector of traces: OTLP over HTTP, decoded by the classes that OpenTelemetry
makes of its own definition. `GET /spans` shows what came, `GET /bytes` as it came.
Prints its address, then serves until it ends."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

lock = Lock()
bodies = []
spans = []


def plain(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    return getattr(value, kind)


def fields(attributes):
    return {attribute.key: plain(attribute.value) for attribute in attributes}


def span_row(span, resource, headers):
    return {
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind),
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "links": [link.trace_id.hex() for link in span.links],
        "events": len(span.events),
        "status": Status.StatusCode.Name(span.status.code),
        "attributes": fields(span.attributes),
        "resource": resource,
        "headers": headers,
    }


def take(body, headers):
    request = ExportTraceServiceRequest.FromString(body)
    rows = [
        span_row(span, fields(of_resource.resource.attributes), headers)
        for of_resource in request.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]
    with lock:
        bodies.append(body)
        spans.extend(rows)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        is_right = self.headers["content-type"] == "application/x-protobuf"
        if self.path != "/v1/traces" or not is_right:
            return self.answer(404, b"", "text/plain")
        take(body, {name.lower(): value for name, value in self.headers.items()})
        reply = ExportTraceServiceResponse().SerializeToString()
        self.answer(200, reply, "application/x-protobuf")

    def do_GET(self):
        with lock:
            if self.path == "/spans":
                return self.answer(200, json.dumps(spans).encode(), "application/json")
            self.answer(200, b"\n".join(bodies), "application/octet-stream")

    def answer(self, status, body, kind):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
server.serve_forever()
