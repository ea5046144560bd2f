# Two stages: one binary, and an image that holds nothing else that could be run.
FROM denoland/deno:2.9.6 AS build
WORKDIR /src
COPY deno.json deno.lock ./
COPY . .
RUN sh scripts/compile.sh /timmy && mkdir /empty

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /timmy /timmy
COPY --from=build --chown=nonroot:nonroot /empty /data
# Data is a volume; the rest of the file system can be read-only (docker run --read-only).
WORKDIR /
ENV HOST=0.0.0.0 PORT=8080 DATA_DIR=/data
VOLUME /data
EXPOSE 8080
USER nonroot
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s CMD ["/timmy", "health"]
ENTRYPOINT ["/timmy"]
