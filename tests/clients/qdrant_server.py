"""Qdrant's REST paths over the local mode of qdrant-client, whose filters and
searches were written by Qdrant. Prints its address, then serves until it ends."""

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

from qdrant_client import QdrantClient, models

client = QdrantClient(":memory:")
lock = Lock()


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def filter_of(body):
    return models.Filter(**body["filter"]) if body.get("filter") else None


def plain(point):
    found = {"id": point.id, "payload": point.payload, "vector": point.vector}
    if hasattr(point, "score"):
        found["score"] = point.score
    return found


def size(name):
    return client.get_collection(name).config.params.vectors.size


def collection(method, name, body):
    if method == "PUT":
        vectors = models.VectorParams(**body["vectors"])
        return client.create_collection(name, vectors_config=vectors)
    config = client.get_collection(name).config
    return {"config": json.loads(config.model_dump_json())}


def write(name, body):
    for point in body["points"]:
        if len(point["vector"]) != size(name):
            expected, got = size(name), len(point["vector"])
            raise Refused(400, f"Wrong input: Vector dimension error: expected dim: {expected}, got {got}")
    client.upsert(name, [models.PointStruct(**point) for point in body["points"]])
    return {"status": "completed"}


def retrieve(name, body):
    found = client.retrieve(name, body["ids"], with_payload=False, with_vectors=False)
    return [plain(point) for point in found]


def delete(name, body):
    client.delete(name, models.PointIdsList(points=body["points"]))
    return {"status": "completed"}


def scroll(name, body):
    found, _ = client.scroll(name, scroll_filter=filter_of(body), limit=body["limit"])
    return {"points": [plain(point) for point in found]}


def query(name, body):
    if len(body["query"]) != size(name):
        expected, got = size(name), len(body["query"])
        raise Refused(400, f"Wrong input: Vector dimension error: expected dim: {expected}, got {got}")
    found = client.query_points(
        name,
        query=body["query"],
        query_filter=filter_of(body),
        limit=body["limit"],
        with_payload=body["with_payload"],
        with_vectors=body["with_vector"],
    )
    return {"points": [plain(point) for point in found.points]}


POSTS = {"points": retrieve, "points/delete": delete, "points/scroll": scroll, "points/query": query}


def answer(method, path, body):
    found = re.fullmatch(r"/collections/([^/?]+)(?:/([^?]+))?(?:\?wait=true)?", path)
    if not found:
        raise Refused(404, "Not found")
    name, verb = found.groups()
    if method != "PUT" or verb:
        if not client.collection_exists(name):
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
    if verb is None:
        return collection(method, name, body)
    if (method, verb) == ("PUT", "points"):
        return write(name, body)
    return POSTS[verb](name, body)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def serve(self):
        length = int(self.headers.get("content-length", 0))
        body = json.loads(self.rfile.read(length) or "{}")
        try:
            if self.headers.get("api-key") == "wrong":
                raise Refused(403, "Forbidden")
            with lock:
                status, reply = 200, {"result": answer(self.command, self.path, body), "status": "ok"}
        except Refused as refused:
            status, reply = refused.status, {"status": {"error": str(refused)}, "time": 0}
        text = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = serve

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
