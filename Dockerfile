# Stages: build (compiles), test (runs the suite), runtime-cpu (what ships: non-root, no compiler, no shell needed).
#   docker build --target runtime-cpu -t bitrate:dev .
#   docker run --read-only -p 9000:9000 -p 9090:9090 -v /path/to/models:/models:ro bitrate:dev

FROM debian:12.12-slim AS build
WORKDIR /src
# Packages first: this layer changes rarely.
COPY scripts/common.sh scripts/
RUN bash -euc '. scripts/common.sh && ensure_packages $BUILD_PACKAGES && fetch_onednn' && rm -rf /var/lib/apt/lists/*
COPY . .
RUN ./quickstart.sh --build

FROM build AS test
RUN ./test.sh

FROM debian:12.12-slim AS runtime-cpu
LABEL org.opencontainers.image.title="bitrate" \
      org.opencontainers.image.description="One model, many bit-rates, one gRPC server"
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      libgrpc++1.51 libprotobuf32 libprometheus-cpp-core1.0 libpcre2-8-0 libutf8proc2 libyaml-cpp0.7 \
      libspdlog1.10 libfmt9 libgomp1 ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 65532 --no-create-home --shell /usr/sbin/nologin bitrate
COPY --from=build /src/build/release/bin/bitrate /usr/local/bin/bitrate
COPY --from=build /src/build/deps/onednn/lib/libdnnl.so.3 /usr/local/lib/libdnnl.so.3
COPY deploy/kubernetes/base/bitrate.yaml /etc/bitrate/bitrate.yaml
RUN ldconfig
USER 65532:65532
EXPOSE 9000 9090
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/bitrate"]
CMD ["serve", "--config", "/etc/bitrate/bitrate.yaml"]
