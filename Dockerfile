# The one image of backup-operator: operator, mover and their shell helpers.
# Public bases by default. The local cluster has no registry and passes its own; what they hold already is not installed.
ARG NODE_IMAGE=node:26.10.0-bookworm-slim
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${NODE_IMAGE} AS program
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# Both secrets are optional: settings for a private package registry, and certificates of a proxy in between.
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc --mount=type=secret,id=certificates,target=/run/certificates.pem \
    NODE_EXTRA_CA_CERTS=/run/certificates.pem npm ci --ignore-scripts
COPY tools/bundle.ts ./tools/
# After the packages, because it changes most.
COPY src ./src
RUN node tools/bundle.ts /build/program

FROM ${BASE_IMAGE}
# busybox-static goes into the containers of other images, and must run without their libraries. Node needs libatomic1.
RUN test -x /bin/busybox && test -e /etc/ssl/certs/ca-certificates.crt && test -e /usr/share/zoneinfo/Etc/UTC \
 && ls /usr/lib/*/libatomic.so.1 \
 || { apt-get update \
   && apt-get install -y --no-install-recommends busybox-static ca-certificates libatomic1 tzdata \
   && rm -rf /var/lib/apt/lists/*; }
WORKDIR /app
ENV NODE_ENV=production
ENTRYPOINT ["/usr/local/bin/node", "/app/program/main.cjs"]
# Files belong to root: the process cannot change its own program.
COPY --from=program /usr/local/bin/node /usr/local/bin/node
COPY src/mover/shell /app/src/mover/shell
COPY src/presets/*.sh /app/src/presets/
COPY --from=program /build/program /app/program
# What Node makes of the program at start, made once: a mover then starts sooner and needs less memory. The cache is found by the
# user that runs the program, so that user fills it; afterwards it belongs to root like the rest.
ENV NODE_COMPILE_CACHE=/app/compile-cache
RUN install -d -o 65532 -g 65532 /app/compile-cache
USER 65532:65532
RUN ["/usr/local/bin/node", "/app/program/main.cjs", "--help"]
RUN ["/usr/local/bin/node", "--eval", "for (const file of fs.readdirSync('/app/program')) if (file !== 'main.cjs') require('/app/program/' + file)"]
USER root
RUN chown -R root:root /app/compile-cache && chmod -R a+rX /app/compile-cache
USER 65532:65532
