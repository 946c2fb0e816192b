"""The data plane of one Pinecone index of three dimensions by cosine, as its
documentation describes it. Prints its address, then serves until it ends."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import sqrt
from threading import Lock
from urllib.parse import parse_qs, urlsplit

DIMENSION = 3
namespaces = {}
lock = Lock()


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def check_vector(vector):
    if len(vector) != DIMENSION:
        raise Refused(400, f"Vector dimension {len(vector)} does not match the dimension of the index {DIMENSION}")


def check_metadata(metadata):
    for key, value in metadata.items():
        texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if not texts and not isinstance(value, (str, int, float, bool)):
            raise Refused(400, f"Metadata value must be a string, number, boolean or list of strings, got {key}")


def fits(condition, metadata):
    def one(key, wanted):
        if key == "$and":
            return all(fits(part, metadata) for part in wanted)
        if key == "$or":
            return any(fits(part, metadata) for part in wanted)
        if not isinstance(wanted, dict):
            wanted = {"$eq": wanted}
        return all(compare(verb, key, value) for verb, value in wanted.items())

    def compare(verb, key, value):
        there = metadata.get(key)
        own = there if isinstance(there, list) else [there]
        verbs = {
            "$eq": lambda: value in own,
            "$ne": lambda: value not in own,
            "$in": lambda: any(item in value for item in own),
            "$nin": lambda: not any(item in value for item in own),
            "$exists": lambda: (key in metadata) == value,
        }
        if verb not in verbs:
            raise Refused(400, f"Invalid operator: {verb}")
        return verbs[verb]()

    return all(one(key, wanted) for key, wanted in condition.items())


def cosine(a, b):
    sizes = sqrt(sum(x * x for x in a)) * sqrt(sum(y * y for y in b))
    return sum(x * y for x, y in zip(a, b)) / sizes if sizes else 0.0


def upsert(space, body):
    if len(body["vectors"]) > 1000:
        raise Refused(400, "The number of vectors exceeds the limit of 1000")
    for vector in body["vectors"]:
        check_vector(vector["values"])
        check_metadata(vector["metadata"])
    namespaces.setdefault(space, {}).update({vector["id"]: vector for vector in body["vectors"]})
    return {"upsertedCount": len(body["vectors"])}


def query(space, body):
    check_vector(body["vector"])
    found = []
    for vector in namespaces.get(space, {}).values():
        if fits(body.get("filter", {}), vector["metadata"]):
            match = {"id": vector["id"], "score": cosine(body["vector"], vector["values"]), "values": []}
            if body.get("includeMetadata"):
                match["metadata"] = vector["metadata"]
            if body.get("includeValues"):
                match["values"] = vector["values"]
            found.append(match)
    found.sort(key=lambda match: -match["score"])
    return {"matches": found[: body["topK"]], "namespace": space, "usage": {"readUnits": 1}}


def delete(space, body):
    if space not in namespaces:
        raise Refused(404, "Namespace not found")
    for one in body["ids"]:
        namespaces[space].pop(one, None)
    return {}


def answer(method, path, question, body):
    space = body.get("namespace", question.get("namespace", [""])[0])
    match (method, path):
        case ("POST", "/describe_index_stats"):
            return {"dimension": DIMENSION, "metric": "cosine", "namespaces": {}, "totalVectorCount": 0}
        case ("POST", "/vectors/upsert"):
            return upsert(space, body)
        case ("POST", "/query"):
            return query(space, body)
        case ("POST", "/vectors/delete"):
            return delete(space, body)
        case ("GET", "/vectors/fetch"):
            there = namespaces.get(space, {})
            return {"vectors": {one: there[one] for one in question["ids"] if one in there}}
    raise Refused(404, "Not found")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def serve(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        url = urlsplit(self.path)
        try:
            if self.headers.get("api-key") != "right-key":
                raise Refused(401, "Invalid API Key")
            if not self.headers.get("x-pinecone-api-version"):
                raise Refused(400, "No version of the API is named")
            with lock:
                status = 200
                reply = answer(self.command, url.path, parse_qs(url.query), json.loads(body or "{}"))
        except Refused as refused:
            status = refused.status
            reply = {"code": 3, "message": str(refused), "details": []}
        text = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = serve

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
