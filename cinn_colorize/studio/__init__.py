"""The same model in the browser: a local page, and the HTTP API, on the library."""
