"""Puts a chatflow into a running Langflow and prints its id: its own starter "Basic
Prompting" (chat input, prompt, language model, chat output), with the measured system
prompt and a model that OPENAI_API_BASE leads to the model server.

Usage: python flow.py http://127.0.0.1:PORT
"""

import json
import sys
import urllib.request
from pathlib import Path

import langflow

SYSTEM_PROMPT = "You are the friendly voice of a small library. Answer in one sentence."
MODEL = "gpt-4o-mini"


def flow():
    folder = Path(langflow.__file__).parent / "initial_setup" / "starter_projects"
    data = json.loads((folder / "Basic Prompting.json").read_text())["data"]
    nodes = {node["data"].get("type"): node for node in data["nodes"]}
    wanted = ["ChatInput", "Prompt", "LanguageModelComponent", "ChatOutput"]
    data["nodes"] = [nodes[kind] for kind in wanted]
    template = lambda kind: nodes[kind]["data"]["node"]["template"]
    template("Prompt")["template"]["value"] = SYSTEM_PROMPT
    model = template("LanguageModelComponent")
    model["model"]["value"] = [{"name": MODEL, "provider": "OpenAI", "metadata": {}}]
    model["model_name"]["value"] = MODEL
    model["provider"]["value"] = "OpenAI"
    model["api_key"].update(value="sk-bench", load_from_db=False)
    model["temperature"]["value"] = 0.7
    return {"name": "Bench conversation", "data": data}


def main():
    url = sys.argv[1] + "/api/v1/flows/"
    body = json.dumps(flow()).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as reply:
        print(json.load(reply)["id"])


main()
