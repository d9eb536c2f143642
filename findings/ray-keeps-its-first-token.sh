#!/usr/bin/env bash
# What: a Ray process that has once joined a cluster offers that cluster's token to every later one.
# Version: ray 2.60.0, Python 3.11.
# Expected: after ray.shutdown(), ray.init() reads RAY_AUTH_TOKEN_PATH again, as it reads RAY_ADDRESS.
# Happens: the token is read once per process and kept. The daemons of the new cluster read the new file, the driver
#   offers the old token, and the start fails with InvalidAuthToken, though both files are as they should be.
# Follows: a test suite whose fixtures give each cluster a token of its own passes alone and fails together; a
#   supervisor that moves from one cluster to another must do so in a new process.
# Exits 0 while this is so, 1 once it has changed.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0 2>/dev/null
cat > "$work/two_clusters.py" <<'PY'
import os
import sys
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_AUTH_MODE"] = "token"
import ray  # noqa: E402


def start(token: str) -> None:
    path = Path(sys.argv[1], f"token-{token[:1]}")
    path.write_text(token)
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)
    ray.init(address="local", num_cpus=1, include_dashboard=False, object_store_memory=100 << 20, logging_level="error")
    print("cluster with token", token[0] * 3, "runs:", ray.cluster_resources()["CPU"], "CPU", flush=True)
    ray.shutdown()


start("a" * 64)
start(sys.argv[2] * 64)
PY
echo "the same token twice:"
"$work/env/bin/python" "$work/two_clusters.py" "$work" a
echo "another token:"
if timeout 300 "$work/env/bin/python" "$work/two_clusters.py" "$work" b 2> "$work/error.txt"; then
  echo "changed"
  exit 1
fi
tail -n 3 "$work/error.txt" | cut -c 1-200
echo "as described"
