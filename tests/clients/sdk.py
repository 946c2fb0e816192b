"""Asks questions with the flowise client of PyPI, as its README says, and
prints what a program that uses it would see.

stdin:  {"options": {"baseUrl", "apiKey"}, "data": {...PredictionData}}
stdout: {"reply": {...}} or {"events": [...]} or {"thrown": "...", "events": [...]}
"""

import json
import sys

from flowise import Flowise, IFileUpload, IMessage, PredictionData


def prediction_data(data):
    if "history" in data:
        data["history"] = [IMessage(**item) for item in data["history"]]
    if "uploads" in data:
        data["uploads"] = [IFileUpload(**item) for item in data["uploads"]]
    return PredictionData(**data)


def ask(options, data):
    client = Flowise(options["baseUrl"], options.get("apiKey"))
    events = []
    try:
        for item in client.create_prediction(prediction_data(data)):
            # A whole answer comes as one object, an event as its JSON text.
            if isinstance(item, dict):
                return {"reply": item}
            events.append(json.loads(item))
        return {"events": events}
    except Exception as error:
        return {"thrown": str(error), "events": events}


print(json.dumps(ask(**json.load(sys.stdin))))
