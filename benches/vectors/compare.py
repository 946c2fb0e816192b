"""Parlor's exact search and its graph beside faiss-cpu (flat and HNSW) and hnswlib, on the same real embeddings.

    python embed.py FOLDER
    cargo build --release -p parlor-benches --bin vectors
    python compare.py FOLDER PATH/TO/vectors [--rows 100000] [--k 10]

All run one after the other in one go, on one thread, one question at a time.
Recall is against faiss's flat index (inner product of vectors of length 1).
Needs PyPI numpy, faiss-cpu and hnswlib.
"""

import argparse
import json
import pathlib
import subprocess
import time

import faiss
import hnswlib
import numpy

DIMENSIONS = 384
# Neighbours a node, candidates while building, candidates while searching.
M, EF_BUILD, EF_SEARCH = 16, 100, 64


def timed(questions, ask):
    """Rows found for each question, and milliseconds at the median and at 95 %."""
    for question in questions[:20]:
        ask(question)
    found, took = [], []
    for question in questions:
        began = time.perf_counter()
        rows = ask(question)
        took.append((time.perf_counter() - began) * 1e3)
        found.append(rows)
    return numpy.array(found), {"p50_ms": numpy.percentile(took, 50), "p95_ms": numpy.percentile(took, 95)}


def recall(found, exact):
    same = [len(set(a) & set(b)) for a, b in zip(found, exact)]
    return sum(same) / exact.size


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--k", type=int, default=10)
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)

    def read(name):
        rows = numpy.fromfile(options.folder / name, dtype="<f4").reshape(-1, DIMENSIONS)
        return numpy.ascontiguousarray(rows / numpy.linalg.norm(rows, axis=1, keepdims=True))

    vectors, questions = read("vectors.f32")[: options.rows], read("questions.f32")
    results, k = {}, options.k

    flat = faiss.IndexFlatIP(DIMENSIONS)
    flat.add(vectors)
    exact, results["faiss flat"] = timed(questions, lambda q: flat.search(q[None], k)[1][0])
    results["faiss flat"]["recall"] = 1.0

    began = time.perf_counter()
    graph = faiss.IndexHNSWFlat(DIMENSIONS, M, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction, graph.hnsw.efSearch = EF_BUILD, EF_SEARCH
    graph.add(vectors)
    built = time.perf_counter() - began
    found, results["faiss HNSW"] = timed(questions, lambda q: graph.search(q[None], k)[1][0])
    results["faiss HNSW"] |= {"recall": recall(found, exact), "build_s": built}

    began = time.perf_counter()
    other = hnswlib.Index(space="ip", dim=DIMENSIONS)
    other.init_index(max_elements=len(vectors), ef_construction=EF_BUILD, M=M, random_seed=7)
    other.set_num_threads(1)
    other.add_items(vectors)
    other.set_ef(EF_SEARCH)
    built = time.perf_counter() - began
    found, results["hnswlib"] = timed(questions, lambda q: other.knn_query(q[None], k=k)[0][0])
    results["hnswlib"] |= {"recall": recall(found, exact), "build_s": built}

    written = options.folder / "found.u32"
    command = [options.program, "--folder", options.folder, "--rows", str(len(vectors)), "--k", str(k)]
    command += ["--text-mb", "0", "--json", "--found", written]
    page = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    found = numpy.fromfile(written, dtype="<u4").reshape(-1, k)
    if not page["searches"]["graph_is_used"]:
        print("parlor's graph was not good enough for these vectors: its figures are of the exact search")
    for name, figures in page["searches"].items():
        if isinstance(figures, dict):
            results[f"parlor {name}"] = figures
    results["parlor exact_one_thread"]["recall"] = recall(found, exact)

    print(f"{len(vectors)} rows, {len(questions)} questions, k = {k}, {page['machine']['processor']}")
    for name, figures in results.items():
        cells = [f"{key} {value:.3f}" for key, value in figures.items() if key != "questions"]
        print(f"{name:28} {'  '.join(cells)}")


if __name__ == "__main__":
    main()
