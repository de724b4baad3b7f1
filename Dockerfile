# syntax=docker/dockerfile:1
# A static skep, not root, beside git, ssh and gpg for `[source.git]`.
#
#   docker build -t skep .
#
# To speak to the engine, the user in the container must be in the group that owns the socket. Its number differs from
# host to host, so it is not in the image:
#
#   docker run -d --name skep \
#     --group-add "$(stat -c %g /var/run/docker.sock)" \
#     -v /var/run/docker.sock:/var/run/docker.sock \
#     -v "$PWD/specs:/specs:ro" -v skep-state:/var/lib/skep \
#     -p 127.0.0.1:9741:9741 skep
#
# In a stack, on a manager, with the same number under `group_add` (compose) or `--group` (docker service create). Whoever
# may use that socket is root on the host, in a container or not: where that is too much, give skep a TLS endpoint
# (`--docker-host tcp://…`) behind a proxy that lets through what it needs.
#
# Credential helpers (docker-credential-*) are programs: build an image on top of this one that has yours in /bin.

ARG RUST=1.95

FROM rust:${RUST}-alpine AS build
# ring's assembly and C are compiled here. On Alpine, Rust links musl, and does it statically.
RUN apk add --no-cache gcc musl-dev ca-certificates
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin skep && cp target/release/skep /skep
RUN mkdir /state /none

FROM alpine
RUN apk add --no-cache git openssh-client gnupg
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /skep /bin/skep
COPY LICENSE-APACHE LICENSE-MIT /licenses/
# A volume takes its owner from the folder that it is first laid over.
COPY --from=build --chown=65532:65532 /state /var/lib/skep
COPY --from=build --chown=65532:65532 /none /tmp
USER 65532:65532
ENV PATH=/usr/bin:/bin HOME=/var/lib/skep \
    SKEP_SPECS=/specs SKEP_STATE_DIR=/var/lib/skep \
    SKEP_HTTP__LISTEN=0.0.0.0:9741 SKEP_HTTP__ALLOW_REMOTE=true
VOLUME /var/lib/skep
EXPOSE 9741
ENTRYPOINT ["/bin/skep"]
CMD ["run"]
