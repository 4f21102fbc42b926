"""The network as ONNX files: written with torch, run without."""
