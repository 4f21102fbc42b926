# The studio on a CPU, weights inside:
#   docker build -t cinn-colorize .
#   docker run --rm -p 127.0.0.1:8123:8123 cinn-colorize     # then open the URL that it prints
# With a folder of photos, whose results go beside them:
#   docker run --rm -p 127.0.0.1:8123:8123 -v "$PWD/scans:/photos" -u "$(id -u)" cinn-colorize \
#       studio /photos --host 0.0.0.0 --no-browser
FROM python:3.12-slim AS build
COPY . /src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /src

FROM python:3.12-slim
RUN pip install --no-cache-dir torch torchvision --index-url https://download.pytorch.org/whl/cpu
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir "$(echo /wheels/*.whl)[studio]"
RUN useradd --create-home --uid 1000 user
USER user
WORKDIR /home/user
EXPOSE 8123
HEALTHCHECK --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://localhost:8123/healthz')"]
ENTRYPOINT ["cinn-colorize"]
CMD ["studio", "--host", "0.0.0.0", "--no-browser"]
