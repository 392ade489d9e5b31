# syntax=docker/dockerfile:1
# edge without a GPU, on the system Python of Debian, as in the Debian package. docs/how-to/install.md says how to run it.
#   docker build -t edge-monitor .
#   docker run -d --name edge --network host -v edge-data:/var/lib/edge edge-monitor
# A GPU: build on an image of NVIDIA's with TensorRT in place of debian, add the extra `gpu` in packaging/venv, and run
# with NVIDIA's container toolkit on the host (`docker run --gpus all`). That was not tried.
ARG BASE=debian:12-slim

FROM ${BASE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates python3 python3-venv
WORKDIR /src
COPY pyproject.toml README.md LICENSE NOTICE CHANGELOG.md .gitignore ./
COPY edge edge
COPY engines engines
COPY docs/schema docs/schema
COPY packaging packaging
COPY scripts/package scripts/package
RUN scripts/package wheel --out /out
RUN packaging/venv /out/*.whl /opt/edge/venv
RUN /opt/edge/venv/bin/python packaging/licences.py /opt/edge/venv/lib/python3*/site-packages > /out/copyright

FROM ${BASE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libportaudio2 python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --home-dir /var/lib/edge --shell /usr/sbin/nologin --groups video,audio edge \
    && install -d -o edge -g edge -m 750 /var/lib/edge /var/cache/edge \
    && ln -s /opt/edge/venv/bin/edge /usr/bin/edge
COPY --from=build /opt/edge/venv /opt/edge/venv
COPY --from=build /out/copyright /usr/share/doc/edge-monitor/copyright
COPY samples /usr/share/edge-monitor/samples
COPY packaging/config.yaml /etc/edge/config.yaml
USER edge
WORKDIR /var/lib/edge
VOLUME /var/lib/edge
EXPOSE 8088 9108
STOPSIGNAL SIGTERM
# Asks for the metrics: keep `metrics:` in the configuration, at this address.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["/opt/edge/venv/bin/python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9108/metrics', timeout=5)"]
ENTRYPOINT ["/opt/edge/venv/bin/edge"]
CMD ["run", "-c", "/etc/edge/config.yaml"]
