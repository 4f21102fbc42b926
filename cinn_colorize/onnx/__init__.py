"""The network as ONNX files, which are written with torch and run without it."""
