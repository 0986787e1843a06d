"""Ask the app on this machine whether it is well: the HEALTHCHECK of the image. Exits 1 when it is not."""

import os
import sys
import urllib.request

port = os.environ.get("STREAMLIT_SERVER_PORT", "8501")
base = os.environ.get("STREAMLIT_SERVER_BASE_URL_PATH", "").strip("/")
address = "/".join(filter(None, (f"http://127.0.0.1:{port}", base, "_stcore/health")))
try:
    with urllib.request.urlopen(address, timeout=8) as answer:
        print(answer.read().decode())
except OSError as error:
    sys.exit(f"{address}: {error}")
