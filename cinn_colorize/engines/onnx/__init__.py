"""The network as ONNX files, which are written with torch and run without it."""

import os

# Official builds of onnxruntime report to Microsoft, and keep an identifier in the user's cache, unless this
# is set before they are imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # noqa: TID251
