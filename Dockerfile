# Two stages: one binary, and an image that holds nothing else that could be run.
#   docker build --build-arg TIMMY_COMMIT="$(git rev-parse HEAD)" -t timmy .
# Both images are named by the digest of their multi-platform index. BUILD_BASE needs deno; BASE needs glibc, libgcc and certificates.
ARG BUILD_BASE=denoland/deno:2.9.6@sha256:2014dc167ece617ef7e7ba40631ac2234c59e75ce693e7cc2dc2602b3c87859d
ARG BASE=gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f

FROM ${BUILD_BASE} AS build
ARG TIMMY_COMMIT
# A folder whose name stands nowhere else: the build refuses a program that names the place where it was made.
WORKDIR /timmy-source
COPY . .
RUN sh scripts/compile.sh /timmy && mkdir /empty

FROM ${BASE}
# Numbers, because a name needs /etc/passwd, and Kubernetes cannot see that a name is not root. 65532 is distroless' nonroot.
COPY --from=build /timmy /timmy
COPY --from=build --chown=65532:65532 /empty /data
# Data is a volume; the rest of the file system can be read-only (docker run --read-only).
WORKDIR /
ENV HOST=0.0.0.0 PORT=8080 DATA_DIR=/data
VOLUME /data
EXPOSE 8080
USER 65532:65532
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s CMD ["/timmy", "health"]
ENTRYPOINT ["/timmy"]
